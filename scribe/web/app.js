// The page of scribe. Text from others only ever becomes text nodes.

const ACCOUNTS = ["ada", "grace", "linus", "barbara"];
const FIRST_ROOM = "lobby";
const RETRY_MS = { first: 500, max: 10000 };
const RESEND_MS = 1000;
const SHOWN_MAX = 500; // messages kept of a room

const $ = (id) => document.getElementById(id);
const stored = JSON.parse(localStorage.getItem("scribe") || "{}");

const state = {
  account: stored.account || null,
  token: stored.token || null,
  active: stored.active || FIRST_ROOM,
  rooms: new Map(), // name -> { name, last, head, marker, newFrom, messages, joined }
  outbox: new Map((stored.outbox || []).map((m) => [m.id, m])), // id -> { id, room, text, failed }
  socket: null,
  online: false,
  tries: 0,
  timer: null,
};

function room(name) {
  if (!state.rooms.has(name)) {
    state.rooms.set(name, { name, last: 0, head: 0, marker: 0, newFrom: 0, messages: [] });
  }
  return state.rooms.get(name);
}
const unread = (r) => Math.max(0, r.head - r.marker);
for (const name of stored.rooms || [FIRST_ROOM]) room(name);

function save() {
  localStorage.setItem("scribe", JSON.stringify({
    account: state.account,
    token: state.token,
    active: state.active,
    rooms: [...state.rooms.keys()],
    outbox: [...state.outbox.values()],
  }));
}

function element(tag, className, ...children) {
  const e = document.createElement(tag);
  if (className) e.className = className;
  e.append(...children);
  return e;
}

function button(text, className, onclick) {
  const b = element("button", className, text);
  b.type = "button";
  b.addEventListener("click", onclick);
  return b;
}

function face(name) {
  const sum = [...name].reduce((n, c) => n + c.codePointAt(0), 0);
  const f = element("span", `face hue-${sum % 6}`, name[0]);
  f.setAttribute("aria-hidden", "true");
  return f;
}

// --- sign in ---------------------------------------------------------------------------------

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
  state.token = token;
  state.account = account;
  save();
  showChat();
  connect();
}

function signOut(reason) {
  state.token = null;
  save();
  clearTimeout(state.timer);
  if (state.socket) state.socket.close();
  state.rooms.forEach((r) => Object.assign(r, { last: 0, messages: [], joined: false }));
  $("chat").hidden = true;
  $("login").hidden = false;
  $("login-error").textContent = reason || "";
}

function showChat() {
  $("login").hidden = true;
  $("chat").hidden = false;
  draw();
  $("text").focus();
}

// --- connection ------------------------------------------------------------------------------

function put(frame) {
  state.socket.send(JSON.stringify(frame));
}

function setOnline(online, text) {
  state.online = online;
  $("status").textContent = text;
  $("status").classList.toggle("away", !online);
}

function connect() {
  clearTimeout(state.timer);
  setOnline(false, "Connecting …");
  const scheme = location.protocol === "https:" ? "wss" : "ws";
  const socket = new WebSocket(`${scheme}://${location.host}/ws`, ["scribe.v1"]);
  state.socket = socket;
  let wait = null; // a draining server says when to come back
  socket.addEventListener("open", () => put({ type: "hello", token: state.token }));
  socket.addEventListener("message", (event) => {
    const frame = JSON.parse(event.data);
    if (frame.type === "goodbye") wait = frame.reconnect_after_ms;
    else if (handlers[frame.type]) handlers[frame.type](frame);
  });
  socket.addEventListener("close", (event) => {
    if (state.socket !== socket) return;
    state.rooms.forEach((r) => { r.joined = false; });
    if (event.reason === "unauthenticated" || event.reason === "token_expired") {
      signOut("Please sign in again.");
    } else if (state.token) {
      reconnect(wait);
    }
  });
}

function reconnect(wait) {
  const backoff = Math.min(RETRY_MS.first * 2 ** state.tries, RETRY_MS.max);
  state.tries += 1;
  setOnline(false, navigator.onLine ? "Offline, trying again …" : "Offline");
  state.timer = setTimeout(connect, wait ?? backoff * (0.5 + Math.random() / 2));
}

addEventListener("online", () => { if (state.token && !state.online) connect(); });

const handlers = {
  welcome(frame) {
    state.account = frame.user;
    state.tries = 0;
    setOnline(true, "Connected");
    state.rooms.forEach(join);
    save();
    draw();
  },
  joined(frame) {
    const r = room(frame.room);
    r.joined = true;
    r.head = frame.head;
    r.marker = frame.marker;
    if (frame.unread > 0 && !r.newFrom) r.newFrom = frame.marker + 1;
    state.outbox.forEach((m) => { if (m.room === r.name && !m.failed) transmit(m); });
    draw();
  },
  message(frame) {
    const r = room(frame.room);
    r.last = frame.seq;
    r.head = Math.max(r.head, frame.seq);
    r.messages.push(frame);
    if (r.messages.length > SHOWN_MAX) r.messages.shift();
    if (frame.sender === state.account) state.outbox.delete(frame.id);
    save();
    draw();
    markRead();
  },
  ack(frame) {
    const r = room(frame.room);
    r.head = Math.max(r.head, frame.seq);
    if (r.marker === frame.seq - 1) r.marker = frame.seq; // as the server does
    state.outbox.delete(frame.id);
    save();
  },
  nack(frame) {
    const m = state.outbox.get(frame.id);
    if (!m) return;
    if (frame.retryable) {
      setTimeout(() => { if (state.outbox.has(m.id)) transmit(m); }, RESEND_MS);
    } else {
      m.failed = frame.detail;
    }
    save();
    draw();
  },
  read(frame) {
    const r = room(frame.room);
    r.marker = Math.max(r.marker, frame.marker);
    draw();
  },
  error(frame) {
    if (frame.re === "join" && frame.retryable) {
      setTimeout(() => { if (state.online) join(room(frame.room)); }, RESEND_MS);
    } else if (frame.re === "join") {
      setOnline(state.online, `${frame.room}: ${frame.detail}`);
    }
  },
};

function join(r) {
  if (r.joined || !state.online) return;
  put(r.last ? { type: "join", room: r.name, after: r.last }
             : { type: "join", room: r.name });
}

// --- sending and reading ---------------------------------------------------------------------

function newId() {
  const bytes = crypto.getRandomValues(new Uint8Array(12));
  return [...bytes].map((b) => b.toString(16).padStart(2, "0")).join("");
}

// The same id however often: the server stores it once.
function transmit(m) {
  if (state.online && room(m.room).joined) {
    put({ type: "send", room: m.room, id: m.id, text: m.text });
  }
}

function send(text) {
  const m = { id: newId(), room: state.active, text };
  state.outbox.set(m.id, m);
  save();
  transmit(m);
  draw();
}

function retry(m) {
  m.failed = undefined;
  save();
  transmit(m);
  draw();
}

function markRead() {
  const r = room(state.active);
  if (document.hidden || !r.joined || r.last <= r.marker) return;
  r.marker = r.last;
  put({ type: "read", room: r.name, seq: r.last });
}

function open(name) {
  room(state.active).newFrom = 0;
  state.active = name;
  join(room(name));
  save();
  draw();
  markRead();
  $("text").focus();
}

// --- drawing ---------------------------------------------------------------------------------

function drawRooms() {
  $("rooms").replaceChildren(...[...state.rooms.values()].map((r) => {
    const b = button(r.name, "", () => open(r.name));
    if (r.name === state.active) b.setAttribute("aria-current", "true");
    if (unread(r) > 0 && r.name !== state.active) {
      const badge = element("span", "badge", String(unread(r)));
      badge.setAttribute("aria-label", `${unread(r)} unread`);
      b.append(badge);
    }
    return element("li", "", b);
  }));
}

function drawMessage(m, before) {
  const more = before && before.sender === m.sender;
  const own = m.sender === state.account;
  const time = new Date(m.at).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
  const li = element("li", [own && "own", more && "more"].filter(Boolean).join(" "),
    face(m.sender),
    element("span", "by", element("strong", "", m.sender), time),
    element("span", "text", m.text));
  li.dataset.seq = m.seq;
  return li;
}

function drawWaiting(m) {
  const note = element("span", "note", m.failed ? `Not sent: ${m.failed} ` : "Sending …");
  if (m.failed) {
    note.append(button("Try again", "quiet", () => retry(m)),
      button("Discard", "quiet", () => { state.outbox.delete(m.id); save(); draw(); }));
  }
  return element("li", m.failed ? "own failed" : "own waiting", face(state.account),
    element("span", "by", element("strong", "", state.account)),
    element("span", "text", m.text), note);
}

function drawMessages(r) {
  const list = $("messages");
  const atEnd = list.scrollHeight - list.scrollTop - list.clientHeight < 40;
  const items = [];
  let before = null;
  for (const m of r.messages) {
    if (r.newFrom && m.seq >= r.newFrom && !(before && before.seq >= r.newFrom)) {
      items.push(element("li", "line", "New since you left"));
      before = null;
    }
    items.push(drawMessage(m, before));
    before = m;
  }
  state.outbox.forEach((m) => { if (m.room === r.name) items.push(drawWaiting(m)); });
  if (!items.length) items.push(element("li", "empty", "No messages yet. Say hello!"));
  list.replaceChildren(...items);
  if (atEnd) list.scrollTop = list.scrollHeight;
}

let due = false;
function draw() {
  if (due) return;
  due = true;
  requestAnimationFrame(() => {
    due = false;
    const r = room(state.active);
    $("who").textContent = `Signed in as ${state.account}`;
    $("title").textContent = `# ${r.name}`;
    const sum = [...state.rooms.values()].reduce((n, x) => n + unread(x), 0);
    document.title = sum > 0 ? `(${sum}) scribe` : "scribe";
    drawRooms();
    drawMessages(r);
  });
}

// --- events ----------------------------------------------------------------------------------

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
$("join-form").addEventListener("submit", (event) => {
  event.preventDefault();
  open($("room-name").value);
  $("room-name").value = "";
});
$("send-form").addEventListener("submit", (event) => {
  event.preventDefault();
  const text = $("text").value.trim();
  if (!text) return;
  send(text);
  $("text").value = "";
  $("messages").scrollTop = $("messages").scrollHeight;
});
$("text").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
    event.preventDefault();
    $("send-form").requestSubmit();
  }
});
$("sign-out").addEventListener("click", () => signOut());
document.addEventListener("visibilitychange", markRead);

if (state.token) {
  showChat();
  connect();
}
