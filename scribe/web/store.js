// What the page knows: who is signed in, the rooms with their messages and markers, and what is
// still to be sent. No DOM and no socket in here.

const KEPT = 500; // messages of a room
const PAGE = 50;
const OUTBOX = "scribe.outbox."; // an entry a message: tabs don't overwrite each other's

export const state = {
  account: null, token: null, active: "lobby", // of this tab: another may be another person's
  ...parse(sessionStorage.getItem("scribe")),
  rooms: new Map(),
  outbox: new Map(), // id -> { id, sender, room, text, at }, then also failed, or seq once acked
};

function parse(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

export function saveSession() {
  const { account, token, active } = state;
  sessionStorage.setItem("scribe", JSON.stringify({ account, token, active }));
}

// --- rooms -----------------------------------------------------------------------------------

export function room(name) {
  if (!state.rooms.has(name)) {
    state.rooms.set(name, {
      name, private: false, invited: false, listed: false, // as the server's list has it
      joined: false, joining: false, refused: "",
      head: 0, marker: 0, told: 0, // told: the marker that the server has
      last: 0, messages: [], newFrom: 0,
      people: null, count: 0, typing: new Map(), // user -> until when
      draft: "",
    });
  }
  return state.rooms.get(name);
}

export const unread = (r) => (r.invited ? 0 : Math.max(0, r.head - r.marker));
export const allUnread = () => [...state.rooms.values()].reduce((n, r) => n + unread(r), 0);

// Nobody looks at the room: what is unread from now on is new since then.
export function moveLine(r) {
  r.newFrom = unread(r) > 0 ? r.marker + 1 : 0;
}

export function advance(r, marker) {
  r.told = Math.max(r.told, marker);
  r.marker = Math.max(r.marker, marker);
}

// Where to join: after what is here already; else so that all that is unread comes, with a page at
// least. Of more than is kept the rest stays away. Undefined: the server gives a newcomer's page.
export function resumeAfter(r) {
  if (!r.listed && !r.last) return undefined;
  const from = r.last || Math.min(r.marker, r.head - PAGE);
  const after = Math.max(0, from, r.head - KEPT);
  if (after > r.last) r.messages = [];
  return after;
}

export function take(message) {
  const r = room(message.room);
  r.last = message.seq;
  r.head = Math.max(r.head, message.seq);
  r.messages.push(message);
  if (r.messages.length > KEPT) r.messages.shift();
  r.typing.delete(message.sender);
  if (message.sender === state.account) {
    settle(message.id);
    if (r.marker === message.seq - 1) advance(r, message.seq); // as the server does
  }
  return r;
}

export function disconnected() {
  for (const r of state.rooms.values()) {
    Object.assign(r, { joined: false, joining: false, listed: false, people: null, told: 0 });
    r.typing.clear();
  }
}

export function forgetRooms() {
  state.rooms.clear();
  state.outbox.clear();
}

// --- outbox ----------------------------------------------------------------------------------

function keep(m) {
  try {
    localStorage.setItem(OUTBOX + m.id, JSON.stringify(m));
  } catch {
    // No room, or not allowed: it lives as long as the page.
  }
}

export function loadOutbox() {
  Object.keys(localStorage)
    .filter((key) => key.startsWith(OUTBOX))
    .map((key) => parse(localStorage.getItem(key)))
    .filter((m) => m?.sender === state.account)
    .sort((a, b) => a.at - b.at)
    .forEach((m) => state.outbox.set(m.id, m));
}

export function write(text) {
  const bytes = crypto.getRandomValues(new Uint8Array(12));
  const id = [...bytes].map((b) => b.toString(16).padStart(2, "0")).join("");
  const m = { id, sender: state.account, room: state.active, text, at: Date.now() };
  state.outbox.set(id, m);
  keep(m);
  return m;
}

// Durable, though perhaps not here yet as a message of the room.
export function acknowledge(id, seq) {
  localStorage.removeItem(OUTBOX + id);
  const m = state.outbox.get(id);
  if (m) Object.assign(m, { seq, failed: undefined });
}

export function settle(id) {
  localStorage.removeItem(OUTBOX + id);
  state.outbox.delete(id);
}

export function fail(m, why) {
  m.failed = why;
  keep(m);
}
