// The page of scribe: what each frame of the server and each act of the person does. store.js has
// what is known, wire.js the connection, view.js what is shown.

import * as store from "/store.js";
import { $, button } from "/dom.js";
import { announce, atEnd, bind, draw, face, notice, showConnection, toEnd } from "/view.js";
import { Wire } from "/wire.js";

const ACCOUNTS = ["ada", "grace", "linus", "barbara"];
const FIRST_ROOM = "lobby";
const AGAIN_MS = 1000; // after what can be retried
const READ_MS = 300; // markers go together
const ROOMS_MS = 30000; // what the same person read elsewhere, and invitations, may get lost
const TYPING_MS = { say: 3000, show: 4500 };
const TEXT_BYTES = 4000;

const { state, room } = store;

// --- signing in and out ----------------------------------------------------------------------

async function signIn(account) {
  $("login-error").textContent = "";
  try {
    const reply = await fetch("/demo/login", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ account }),
    });
    if (reply.status === 404) {
      $("accounts").hidden = true;
      $("token-form").hidden = false;
      $("token").focus();
      return;
    }
    if (!reply.ok) throw new Error(`The server answered ${reply.status}.`);
    const { token, sub } = await reply.json();
    enter(token, sub);
  } catch (e) {
    $("login-error").textContent = e.message;
  }
}

function enter(token, account) {
  Object.assign(state, { token, account, active: FIRST_ROOM });
  store.saveSession();
  begin();
}

function begin() {
  $("login").hidden = true;
  $("chat").hidden = false;
  store.loadOutbox();
  draw();
  wire.start(state.token);
  focusRoom();
}

function signOut(reason) {
  wire.stop();
  state.token = null;
  store.saveSession();
  store.forgetRooms();
  $("chat").hidden = true;
  $("login").hidden = false;
  $("login-error").textContent = reason;
}

// --- connection ------------------------------------------------------------------------------

let countdown = null;
const wire = new Wire({
  frame(frame) {
    handlers[frame.type]?.(frame);
  },
  change(connection, retryAt) {
    clearInterval(countdown);
    if (connection === "waiting") {
      store.disconnected();
      countdown = setInterval(() => showConnection(connection, retryAt), 1000);
      draw();
    }
    showConnection(connection, retryAt);
  },
  refused() {
    signOut("Please sign in again. What was not sent yet is kept.");
  },
});

setInterval(() => wire.put({ type: "rooms" }), ROOMS_MS);
addEventListener("offline", () => wire.drop());
addEventListener("online", () => wire.nudge());

// --- what the server says --------------------------------------------------------------------

const handlers = {
  welcome(frame) {
    if (state.account !== frame.user) {
      state.account = frame.user;
      store.saveSession();
      store.loadOutbox();
    }
    wire.put({ type: "rooms" });
  },
  rooms(frame) {
    for (const x of frame.rooms) {
      const r = room(x.room);
      Object.assign(r, { listed: true, private: x.private, invited: x.invited });
      r.head = Math.max(r.head, x.head);
      store.advance(r, x.marker);
    }
    if (frame.more) wire.put({ type: "rooms", room: frame.rooms.at(-1).room });
    else joinAll();
  },
  created(frame) {
    enterRoom(frame.room);
  },
  invited(frame) {
    if (frame.user === state.account) {
      room(frame.room).invited = true;
      notice(`${frame.by} invites you to ${frame.room}.`);
    } else {
      $("invite-dialog").close();
      notice(`${frame.user} is invited to ${frame.room}.`);
    }
    draw();
  },
  removed(frame) {
    if (frame.user !== state.account || !state.rooms.delete(frame.room)) return;
    notice(`You are no longer in ${frame.room}.`);
    if (state.active === frame.room) open(anyRoom());
    draw();
  },
  joined(frame) {
    const r = room(frame.room);
    Object.assign(r, { joined: true, joining: false, refused: "", listed: true, invited: false,
      private: frame.private, head: Math.max(r.head, frame.head) });
    store.advance(r, frame.marker);
    store.moveLine(r);
    if (r.name === wanted) {
      $("room-dialog").close();
      open(r.name);
    }
    state.outbox.forEach((m) => { if (m.room === r.name && !m.failed) transmit(m); });
    draw();
  },
  message(frame) {
    const known = room(frame.room).head;
    const r = store.take(frame);
    if (!isSeen(r)) store.moveLine(r);
    if (r.name === state.active && frame.sender !== state.account && frame.seq > known) {
      announce(`${frame.sender}: ${frame.text}`);
    }
    draw();
  },
  ack(frame) {
    store.acknowledge(frame.id, frame.seq);
    draw();
  },
  nack(frame) {
    const m = state.outbox.get(frame.id);
    if (!m) return;
    if (frame.retryable) setTimeout(transmit, AGAIN_MS, m);
    else store.fail(m, frame.detail);
    draw();
  },
  read(frame) {
    const r = room(frame.room);
    store.advance(r, frame.marker);
    if (!isSeen(r)) store.moveLine(r);
    draw();
  },
  history(frame) {
    const r = room(frame.room);
    const first = r.messages[0]?.seq ?? 0;
    r.messages.unshift(...frame.messages.filter((m) => m.seq < first));
    draw();
  },
  presence(frame) {
    Object.assign(room(frame.room), { count: frame.count, people: frame.users ?? null });
    if (!frame.users && frame.room === state.active && !$("here").hidden) askWhoIsHere();
    draw();
  },
  typing(frame) {
    const r = room(frame.room);
    for (const user of frame.users) {
      if (user !== state.account) r.typing.set(user, Date.now() + TYPING_MS.show);
    }
    setTimeout(draw, TYPING_MS.show + 50);
    draw();
  },
  error(frame) {
    refusals[frame.re]?.(frame);
    draw();
  },
};

const refusals = {
  rooms: () => setTimeout(() => wire.put({ type: "rooms" }), AGAIN_MS),
  join(frame) {
    const r = room(frame.room);
    r.joining = false;
    if (frame.retryable) {
      setTimeout(join, AGAIN_MS, r);
      return;
    }
    r.refused = frame.detail;
    state.outbox.forEach((m) => { if (m.room === r.name) store.fail(m, frame.detail); });
    if (r.name === wanted) $("room-error").textContent = frame.detail;
    if (r.name === wanted && r.name !== state.active) state.rooms.delete(r.name);
  },
  create: (frame) => { $("room-error").textContent = frame.detail; },
  invite: (frame) => { $("invite-error").textContent = frame.detail; },
  remove: (frame) => notice(frame.detail),
};

// --- rooms -----------------------------------------------------------------------------------

let wanted = null; // the room that the dialog waits to be in

const anyRoom = () => [...state.rooms.values()].find((r) => r.listed && !r.invited)?.name
  ?? FIRST_ROOM;

const hasOutgoing = (r) => [...state.outbox.values()].some((m) => m.room === r.name);

// All that the server lists, the open one first. One that it does not list the person has left,
// or was removed from.
function joinAll() {
  state.outbox.forEach((m) => room(m.room));
  if (!room(state.active).listed && !hasOutgoing(room(state.active))) {
    if (room(state.active).last) notice(`You are no longer in ${state.active}.`);
    open(anyRoom());
  }
  const active = room(state.active);
  for (const r of state.rooms.values()) {
    const kept = r.listed || r.joining || r === active || hasOutgoing(r);
    if (!kept) state.rooms.delete(r.name);
  }
  for (const r of new Set([active, ...state.rooms.values()])) {
    if (!r.invited) join(r);
  }
  draw();
}

function join(r) {
  if (r.joined || r.joining || !wire.online) return;
  r.joining = true;
  wire.put({ type: "join", room: r.name, after: store.resumeAfter(r) });
}

// From the dialog: it stays until the server says yes.
function enterRoom(name) {
  wanted = name;
  if (!room(name).joined) join(room(name));
  else {
    $("room-dialog").close();
    open(name);
  }
}

function open(name) {
  const before = state.rooms.get(state.active);
  if (before && before.name !== name) {
    before.newFrom = 0;
    before.draft = $("text").value;
    $("text").value = room(name).draft;
  }
  state.active = name;
  store.saveSession();
  join(room(name));
  showRooms(false);
  if (!$("here").hidden) askWhoIsHere();
  draw();
  focusRoom();
}

function openNeighbour(step) {
  const names = [...document.querySelectorAll("#rooms button")].map((b) => b.dataset.room);
  const i = names.indexOf(state.active) + step;
  open(names[(i + names.length) % names.length]);
}

// The names come unasked in small rooms only.
function askWhoIsHere() {
  const r = room(state.active);
  if (r.joined && !r.people) wire.put({ type: "presence", room: r.name });
}

// --- sending and reading ---------------------------------------------------------------------

// The same id however often: the server stores it once.
function transmit(m) {
  if (state.outbox.get(m.id) === m && room(m.room).joined) {
    wire.put({ type: "send", room: m.room, id: m.id, text: m.text });
  }
}

function retry(m) {
  store.fail(m, undefined);
  if (room(m.room).joined) transmit(m);
  else join(room(m.room)); // which sends what waits, or says why not
  draw();
}

function discard(m) {
  store.settle(m.id);
  draw();
}

// What the server takes: no control characters, nothing that is not Unicode.
const clean = (text) => (text.toWellFormed?.() ?? text).replace(/[^\P{Cc}\n\t]/gu, "").trim();

function send() {
  const text = clean($("text").value);
  const bytes = new TextEncoder().encode(text).length;
  if (bytes > TEXT_BYTES) notice(`Too long: ${bytes} bytes of at most ${TEXT_BYTES}.`);
  if (!text || bytes > TEXT_BYTES) return;
  transmit(store.write(text));
  $("text").value = "";
  toEnd();
  draw();
}

const isSeen = (r) => r.name === state.active && !document.hidden && wire.online && atEnd();

let reading = null;
function markRead(r) {
  if (!r.joined || !isSeen(r) || r.last <= r.marker) return;
  r.marker = r.last;
  reading ??= setTimeout(sayRead, READ_MS);
  draw();
}

function sayRead() {
  clearTimeout(reading);
  reading = null;
  for (const r of state.rooms.values()) {
    if (!r.joined || r.marker <= r.told) continue;
    r.told = r.marker;
    wire.put({ type: "read", room: r.name, seq: r.marker });
  }
}

let typed = 0;
function sayTyping() {
  const r = room(state.active);
  if (!$("text").value || !r.joined || Date.now() - typed < TYPING_MS.say) return;
  typed = Date.now();
  wire.put({ type: "typing", room: r.name });
}

function earlier(r) {
  wire.put({ type: "history", room: r.name, before: r.messages[0].seq });
}

// --- what the person does --------------------------------------------------------------------

function focusRoom() {
  $(matchMedia("(pointer: coarse)").matches ? "title" : "text").focus(); // no keyboard pops up
}

function showRooms(on) {
  $("chat").classList.toggle("choosing", on);
  $("show-rooms").setAttribute("aria-expanded", String(on));
}

function showHere(on) {
  $("here").hidden = !on;
  $("show-here").setAttribute("aria-expanded", String(on));
  if (on) askWhoIsHere();
}

// A dialog opens by its button, and shows what comes of it.
function wireDialog(name, opener, submit) {
  const dialog = $(`${name}-dialog`);
  const error = $(`${name}-error`);
  $(opener).addEventListener("click", () => {
    dialog.querySelector("form").reset();
    error.textContent = "";
    dialog.querySelector("h2").textContent = dialog.dataset.title.replace("{}", state.active);
    dialog.showModal();
  });
  dialog.querySelector(".cancel").addEventListener("click", () => dialog.close());
  dialog.addEventListener("close", () => { wanted = null; });
  dialog.addEventListener("submit", (event) => {
    event.preventDefault();
    error.textContent = wire.online ? "" : "You are offline.";
    if (wire.online) submit();
  });
}

wireDialog("room", "add-room", () => {
  const name = $("room-name").value;
  if ($("room-private").checked) wire.put({ type: "create", room: name, private: true });
  else enterRoom(name);
});
wireDialog("invite", "invite", () =>
  wire.put({ type: "invite", room: state.active, user: $("invite-user").value }));
wireDialog("leave", "leave", () => {
  wire.put({ type: "remove", room: state.active, user: state.account });
  $("leave-dialog").close();
});

bind({
  open, retry, discard, earlier, drawn: markRead,
  rejoin(r) {
    r.refused = "";
    join(r);
    draw();
  },
});

$("account-buttons").append(...ACCOUNTS.map((name) => {
  const b = button("", "", () => signIn(name));
  b.append(face(name), name);
  b.dataset.account = name;
  return b;
}));
$("token-form").addEventListener("submit", (event) => {
  event.preventDefault();
  enter($("token").value.trim(), "");
});
$("send-form").addEventListener("submit", (event) => {
  event.preventDefault();
  send();
});
$("text").addEventListener("input", sayTyping);
$("text").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
    event.preventDefault();
    send();
  }
});
$("messages").addEventListener("scroll", draw, { passive: true });
$("jump").addEventListener("click", () => {
  toEnd();
  $("messages").focus();
});
$("try-now").addEventListener("click", () => wire.nudge());
$("show-rooms").addEventListener("click", () => showRooms(!$("chat").classList.contains("choosing")));
$("hide-rooms").addEventListener("click", () => showRooms(false));
$("show-here").addEventListener("click", () => showHere($("here").hidden));
$("sign-out").addEventListener("click", () => signOut(""));
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") showRooms(false);
  const step = { ArrowUp: -1, ArrowDown: 1 }[event.key];
  if (!event.altKey || !step || $("chat").hidden) return;
  event.preventDefault();
  openNeighbour(step);
});
document.addEventListener("visibilitychange", () => {
  if (document.hidden) {
    sayRead();
    store.moveLine(room(state.active)); // who comes back finds the line where they left
  } else {
    wire.nudge();
  }
  draw();
});

showHere(matchMedia("(min-width: 64rem)").matches);
if (state.token) begin();
