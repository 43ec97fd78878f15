// The connection: one at a time, and always made again. Keeps below the server's rate, and notices
// a line that is dead.

const BACKOFF_MS = { first: 500, max: 15000 };
const PATIENCE_MS = 10000; // for a welcome, and for the answer to a ping
const QUIET_MS = 10000; // then a ping
const WATCH_MS = 2000;

export class Wire {
  #on;
  #socket = null;
  #hello = null; // null: signed out
  #queue = [];
  #rate = 20; // frames a second, until the server says
  #paid = 0; // up to when the frames so far have used the rate up
  #tries = 0;
  #timer = null;
  #pump = null;
  #began = 0;
  #heard = 0;
  #pinged = 0;

  // on: { frame(frame), change(state, retryAt), refused(reason) }; the states are "connecting",
  // "online" and "waiting", which is until retryAt.
  constructor(on) {
    this.#on = on;
    setInterval(() => this.#watch(), WATCH_MS);
  }

  online = false;

  start(token) {
    this.#hello = { type: "hello", token };
    this.#tries = 0;
    this.#connect();
  }

  stop() {
    this.#hello = null;
    clearTimeout(this.#timer);
    this.#abandon();
  }

  // Dropped when there is no connection: whoever connects anew says anew what is still true.
  put(frame) {
    if (!this.online) return;
    this.#queue.push(frame);
    this.#send();
  }

  // The network, or the person, came back: see at once.
  nudge() {
    if (this.online) this.#ping();
    else if (this.#hello) this.#connect();
  }

  drop() {
    if (!this.#hello || !this.#socket) return;
    this.#abandon();
    this.#retry(null);
  }

  #connect() {
    clearTimeout(this.#timer);
    this.#abandon();
    this.#began = Date.now();
    this.#on.change("connecting");
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    const socket = new WebSocket(`${scheme}://${location.host}/ws`, ["scribe.v1"]);
    this.#socket = socket;
    let wait = null; // a server that stops says when to come back
    socket.addEventListener("open", () => socket.send(JSON.stringify(this.#hello)));
    socket.addEventListener("message", (event) => {
      if (this.#socket !== socket) return;
      const frame = JSON.parse(event.data);
      this.#heard = Date.now();
      if (frame.type === "goodbye") wait = frame.reconnect_after_ms;
      if (frame.type === "welcome") this.#welcome(frame);
      this.#on.frame(frame);
    });
    socket.addEventListener("close", (event) => {
      if (this.#socket !== socket) return;
      this.#abandon();
      if (["unauthenticated", "token_expired"].includes(event.reason)) {
        this.#on.refused(event.reason);
      } else {
        this.#retry(wait);
      }
    });
  }

  #welcome(frame) {
    this.online = true;
    this.#tries = 0;
    this.#paid = 0;
    this.#pinged = 0;
    this.#rate = frame.limits.rate;
    this.#on.change("online");
  }

  #abandon() {
    const socket = this.#socket;
    this.#socket = null;
    this.online = false;
    this.#queue = [];
    socket?.close();
  }

  // Spread, so that not everybody comes in the same moment.
  #retry(wait) {
    const backoff = Math.min(BACKOFF_MS.first * 2 ** this.#tries, BACKOFF_MS.max);
    this.#tries += 1;
    const after = wait ?? backoff * (0.5 + Math.random() / 2);
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#connect(), after);
    this.#on.change("waiting", Date.now() + after);
  }

  // The server allows two seconds' worth at once; one is taken, the other is for its clock.
  #send() {
    const cost = 1000 / this.#rate;
    clearTimeout(this.#pump);
    while (this.#queue.length) {
      const now = Date.now();
      const paid = Math.max(this.#paid, now);
      if (paid - now > 1000) {
        this.#pump = setTimeout(() => this.#send(), cost);
        return;
      }
      this.#paid = paid + cost;
      this.#socket.send(JSON.stringify(this.#queue.shift()));
    }
  }

  #ping() {
    this.#pinged = Date.now();
    this.put({ type: "ping" });
  }

  // The timers of a page in the background come late: only a ping without an answer counts.
  #watch() {
    const now = Date.now();
    if (!this.#socket) return;
    if (!this.online) {
      if (now - this.#began > PATIENCE_MS) this.drop();
    } else if (this.#pinged > this.#heard) {
      if (now - this.#pinged > PATIENCE_MS) this.drop();
    } else if (now - this.#heard > QUIET_MS) {
      this.#ping();
    }
  }
}
