// What the page shows, made from the state. Text of people only ever becomes text nodes.

import { $, button, element } from "/dom.js";
import { allUnread, room, state, unread } from "/store.js";

const NOTICE_MS = 6000;
const END_PX = 40; // so near to the end counts as at the end
const LIVE_LINES = 5;

let act = null; // what buttons in lists do: { open, retry, discard, earlier, rejoin, drawn }
export const bind = (actions) => { act = actions; };

export function face(name) {
  const sum = [...name].reduce((n, c) => n + c.codePointAt(0), 0);
  const f = element("span", `face hue-${sum % 6}`, name[0]);
  f.setAttribute("aria-hidden", "true");
  return f;
}

// Show [key, make()] in this order. What is shown stays the same element, so that focus, selection
// and a screen reader's place survive; a key says all that an item depends on.
function lay(list, items) {
  const old = new Map([...list.children].map((e) => [e.dataset.key, e]));
  let at = list.firstElementChild;
  for (const [key, make] of items) {
    const e = old.get(key) ?? make();
    e.dataset.key = key;
    old.delete(key);
    if (e === at) at = at.nextElementSibling;
    else list.insertBefore(e, at);
  }
  old.forEach((e) => e.remove());
}

const both = (names) => (names.length < 3 ? names.join(" and ") : "Several people");

// --- rooms -----------------------------------------------------------------------------------

function drawRoom(r, n) {
  const b = button("", "", () => act.open(r.name));
  b.dataset.room = r.name;
  b.append(element("span", "name", r.name));
  if (r.name === state.active) b.setAttribute("aria-current", "page");
  if (r.invited) b.append(element("span", "badge", "invited"));
  else if (r.private) b.append(element("span", "tag", "private"));
  if (n > 0) {
    b.append(element("span", "badge", n > 999 ? "999+" : String(n),
      element("span", "only-read", " unread")));
  }
  return element("li", "", b);
}

function drawRooms() {
  const rooms = [...state.rooms.values()].sort((a, b) => a.name.localeCompare(b.name));
  lay($("rooms"), rooms.map((r) => {
    const shown = r.name === state.active ? 0 : unread(r);
    const key = JSON.stringify([r.name, shown, r.invited, r.private, r.name === state.active]);
    return [key, () => drawRoom(r, shown)];
  }));
  const elsewhere = allUnread() - unread(room(state.active));
  $("unread").textContent = elsewhere > 0 ? String(elsewhere) : "";
  document.title = allUnread() > 0 ? `(${allUnread()}) scribe` : "scribe";
}

// --- messages --------------------------------------------------------------------------------

const day = (at) => new Date(at).toLocaleDateString([], { dateStyle: "full" });
const hour = (at) => new Date(at).toLocaleTimeString([], { timeStyle: "short" });

function drawDay(at) {
  return element("li", "day", day(at) === day(Date.now()) ? "Today" : day(at));
}

function delivery(mark, words) {
  const e = element("span", "delivery", mark, element("span", "only-read", ` ${words}`));
  e.title = words;
  return e;
}

function drawBody(sender, at, text, more, ...after) {
  const by = element("span", "by", element("strong", "", sender), hour(at));
  if (more) by.className = "by only-read";
  return [more ? element("span", "face") : face(sender),
    element("div", "body", by, element("div", "row", element("span", "text", text), ...after))];
}

function drawMessage(m, more) {
  const own = m.sender === state.account;
  const li = element("li", own ? "own" : "");
  li.classList.toggle("more", more);
  li.append(...drawBody(m.sender, m.at, m.text, more, ...(own ? [delivery("✓", "sent")] : [])));
  return li;
}

function drawOutgoing(m) {
  const mark = m.failed ? delivery("!", "not sent") : m.seq ? delivery("✓", "sent")
    : delivery("…", "sending");
  const li = element("li", "own", ...drawBody(m.sender, m.at, m.text, false, mark));
  li.classList.add(m.failed ? "failed" : m.seq ? "sent" : "waiting");
  if (m.failed) {
    li.lastChild.append(element("p", "note", `Not sent: ${m.failed} `,
      button("Try again", "link", () => act.retry(m)),
      button("Discard", "link", () => act.discard(m))));
  }
  return li;
}

function drawEmpty(r) {
  if (!r.refused) {
    return element("li", "empty", r.joined ? "No messages yet. Say hello!" : "…");
  }
  return element("li", "empty", `You cannot enter this room: ${r.refused}. `,
    button("Try again", "link", () => act.rejoin(r)));
}

function messageItems(r) {
  const items = [];
  let before = null;
  if (r.joined && r.messages[0]?.seq > 1) {
    items.push([`earlier${r.messages[0].seq}`, () => element("li", "empty",
      button("Show earlier messages", "link", () => act.earlier(r)))]);
  }
  for (const m of r.messages) {
    if (!before || day(before.at) !== day(m.at)) {
      items.push([`day${day(m.at)}`, () => drawDay(m.at)]);
      before = null;
    }
    if (r.newFrom && m.seq >= r.newFrom && !items.line) {
      items.line = true;
      items.push([`line${r.newFrom}`, () => element("li", "line", "New since you left")]);
      before = null;
    }
    const more = before?.sender === m.sender;
    items.push([`${m.seq}${more}`, () => drawMessage(m, more)]);
    before = m;
  }
  for (const m of state.outbox.values()) {
    if (m.room === r.name) items.push([`${m.id} ${m.failed} ${m.seq}`, () => drawOutgoing(m)]);
  }
  if (!items.length) items.push([`none${r.joined}${r.refused}`, () => drawEmpty(r)]);
  return items;
}

let shown = null; // the room whose messages are there
let placed = false; // and whether it was scrolled to where reading begins

export const atEnd = () => {
  const list = $("messages");
  return placed && list.scrollHeight - list.scrollTop - list.clientHeight < END_PX;
};

export function toEnd() {
  $("messages").scrollTop = $("messages").scrollHeight;
}

function drawMessages(r) {
  const list = $("messages");
  const fresh = shown !== r.name;
  const stay = !fresh && atEnd();
  const first = list.querySelector("[data-key$=false], [data-key$=true]");
  const below = list.scrollHeight - list.scrollTop;
  if (fresh) {
    list.replaceChildren(); // keys are those of one room
    placed = false;
  }
  shown = r.name;
  lay(list, messageItems(r));
  if (!placed && r.joined && r.last >= r.head) {
    placed = true;
    toEnd();
    list.querySelector(".line")?.scrollIntoView({ block: "nearest" });
  } else if (stay) {
    toEnd();
  } else if (first && first !== list.querySelector("[data-key$=false], [data-key$=true]")) {
    list.scrollTop = list.scrollHeight - below; // earlier ones came above: what is read stays
  }
  const n = unread(r);
  $("jump").hidden = atEnd() || !placed;
  $("jump").textContent = n > 0 ? `↓ ${n} new` : "↓ Newest";
}

// --- the rest --------------------------------------------------------------------------------

function drawHere(r) {
  $("show-here").hidden = !r.joined;
  $("show-here").textContent = `${r.count} here`;
  lay($("people"), (r.people ?? []).map((name) => [name, () => element("li", "", face(name),
    element("span", "", name === state.account ? `${name} (you)` : name))]));
}

function drawTyping(r) {
  const now = Date.now();
  const names = [...r.typing].filter(([, until]) => until > now).map(([name]) => name);
  $("typing").textContent = names.length === 0 ? ""
    : `${both(names)} ${names.length === 1 ? "is" : "are"} typing …`;
}

function paint() {
  const r = room(state.active);
  $("who").textContent = `Signed in as ${state.account}`;
  $("title").textContent = `# ${r.name}`;
  $("private").hidden = !r.private;
  $("invite").disabled = $("leave").disabled = !r.joined;
  drawRooms();
  drawMessages(r);
  drawHere(r);
  drawTyping(r);
  act.drawn(r);
}

// By a timer, not by requestAnimationFrame, which stops in the background: the title counts there.
let due = false;
export function draw() {
  if (due) return;
  due = true;
  setTimeout(() => {
    due = false;
    paint();
  }, 16);
}

export function showConnection(connection, retryAt) {
  const words = { online: "Connected", connecting: "Connecting …", waiting: "Offline" };
  $("status").textContent = words[connection];
  $("status").classList.toggle("away", connection !== "online");
  $("banner").hidden = connection === "online";
  const seconds = Math.max(0, Math.ceil((retryAt - Date.now()) / 1000));
  $("banner-text").textContent = connection === "connecting" ? "Connecting …"
    : `You are offline. What you write is kept and sent later. Next try in ${seconds} s.`;
  $("try-now").hidden = connection === "connecting";
}

// To a screen reader: what came in the room that is open, not what is drawn anew.
export function announce(text) {
  $("live").append(element("p", "", text.slice(0, 200)));
  while ($("live").children.length > LIVE_LINES) $("live").firstChild.remove();
}

let noticeTimer = null;
export function notice(text) {
  $("notice").textContent = text;
  clearTimeout(noticeTimer);
  noticeTimer = setTimeout(() => { $("notice").textContent = ""; }, NOTICE_MS);
}
