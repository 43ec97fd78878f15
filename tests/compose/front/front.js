// Each button runs one experiment against the demo's servers and says what came back.

const RECONNECT_MS = 200;
const PATIENCE_MS = 20000;
const TRIES = 4;
const READERS = 100; // a browser refuses to have 1,500 requests under way

const sleep = (ms) => new Promise((done) => setTimeout(done, ms));
const text = (byte) => byte.toString(16).padStart(2, "0");
const random = () => Array.from(crypto.getRandomValues(new Uint8Array(8)), text).join("");

// When a container comes or goes, the host's network changes, and a browser drops what it has under
// way. So each request is sent again with the key of its first try, and takes effect once.
async function ask(method, path, { body, headers = {}, ...rest } = {}) {
  const json = body !== undefined && !(body instanceof Blob);
  const request = {
    method, body: json ? JSON.stringify(body) : body,
    headers: { "Idempotency-Key": random(), ...(json ? { "Content-Type": "application/json" } : {}),
      ...headers },
    ...rest,
  };
  for (let tries = 1; ; tries++) {
    try {
      return await fetch(path, request);
    } catch (error) {
      if (tries === TRIES) throw error;
      await sleep(RECONNECT_MS);
    }
  }
}

async function secret(path) {
  const reply = await ask("GET", path);
  if (!reply.ok) throw new Error("the keys of this demo are given to localhost only");
  return (await reply.json()).key;
}

async function fault(path) { // once: a second try would find the server that came back
  const headers = { Authorization: `Bearer ${await secret("/fault-key.json")}` };
  return fetch(path, { method: "POST", headers });
}

async function demoToken(service, account) {
  const reply = await ask("POST", `${service}/demo/login`, { body: { account } });
  if (!reply.ok) throw new Error(`${account} cannot log in: ${reply.status}`);
  return (await reply.json()).token;
}

// --- health -----------------------------------------------------------------------------------

async function showHealth() {
  for (const mark of document.querySelectorAll("[data-health]")) {
    const well = await ask("GET", mark.dataset.health).then((r) => r.ok, () => false);
    mark.dataset.is = well ? "well" : "ill";
    mark.title = well ? "ready" : "not ready";
  }
  setTimeout(showHealth, 2000);
}

// --- chat -------------------------------------------------------------------------------------

class Chat {
  static async open(server, account) {
    const chat = new Chat();
    chat.waiting = [];
    chat.got = [];
    const token = await demoToken(`/chat-${server}`, account);
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    chat.socket = new WebSocket(`${scheme}://${location.host}/chat-${server}/ws`, "scribe.v1");
    chat.closed = new Promise((done) => chat.socket.addEventListener("close", done));
    chat.socket.addEventListener("message", (e) => chat.take(JSON.parse(e.data)));
    await Promise.race([
      new Promise((done) => chat.socket.addEventListener("open", done)),
      chat.closed.then(() => { throw new Error("no connection"); }),
    ]);
    chat.put({ type: "hello", token });
    await chat.get("welcome");
    return chat;
  }

  take(frame) {
    const at = this.waiting.findIndex((w) => w.type === frame.type);
    if (at >= 0) this.waiting.splice(at, 1)[0].done(frame);
    else this.got.push(frame);
  }

  get(type) {
    const at = this.got.findIndex((f) => f.type === type);
    if (at >= 0) return Promise.resolve(this.got.splice(at, 1)[0]);
    return Promise.race([
      new Promise((done) => this.waiting.push({ type, done })),
      this.closed.then(() => { throw new Error("the connection ended"); }),
    ]);
  }

  put(frame) { this.socket.send(JSON.stringify(frame)); }
  close() { this.socket.close(); }

  async join(room, after) {
    this.put({ type: "join", room, ...(after === undefined ? {} : { after }) });
    return this.get("joined");
  }

  async send(room, message) {
    this.put({ type: "send", room, id: random(), text: message });
    return (await this.get("ack")).seq;
  }

  async messages(count) {
    const list = [];
    while (list.length < count) list.push(await this.get("message"));
    return list;
  }
}

async function reopen(server, account) {
  for (const end = Date.now() + PATIENCE_MS; ; await sleep(RECONNECT_MS)) {
    try {
      return await Chat.open(server, account);
    } catch (error) {
      if (Date.now() > end) throw error;
    }
  }
}

async function killServer(say) {
  const room = `front-${random()}`;
  const ada = await Chat.open("a", "ada");
  const grace = await Chat.open("b", "grace");
  await ada.join(room);
  await grace.join(room);
  for (const n of [1, 2, 3]) await ada.send(room, `before ${n}`);
  say("ada on server A sent three messages: acknowledged as seq 1, 2, 3");
  await fault("/chat-a/demo/crash");
  await ada.closed;
  say("server A was killed; ada's connection is gone");
  const again = await Chat.open("b", "ada");
  await again.join(room, 3);
  for (const n of [4, 5]) await again.send(room, `after ${n}`);
  say("ada went on at server B: acknowledged as seq 4, 5");
  const seqs = (await grace.messages(5)).map((m) => m.seq);
  say(`grace got seq ${seqs.join(", ")}`, seqs.join() === "1,2,3,4,5");
  const back = await reopen("a", "ada");
  await back.join(room, 0);
  const stored = (await back.messages(5)).map((m) => m.seq);
  say(`server A is back, and gives seq ${stored.join(", ")}`, stored.join() === "1,2,3,4,5");
  for (const chat of [grace, again, back]) chat.close();
}

async function closeLaptop(say) {
  const room = `front-${random()}`;
  const ada = await Chat.open("a", "ada");
  const grace = await Chat.open("b", "grace");
  await ada.join(room);
  await grace.join(room);
  await ada.send(room, "Good night");
  const { seq } = await grace.get("message");
  grace.put({ type: "read", room, seq });
  grace.put({ type: "ping" });
  await grace.get("pong");
  grace.close();
  say(`grace has read up to seq ${seq} on server B, and closes the laptop`);
  for (const n of [1, 2, 3]) await ada.send(room, `Missed ${n}`);
  say("ada sends three more");
  const back = await Chat.open("a", "grace");
  const joined = await back.join(room, seq);
  const missed = (await back.messages(3)).map((m) => m.text);
  say(`grace is back, on server A: unread ${joined.unread}, and gets ${missed.join(", ")}`,
    joined.unread === 3 && missed.join() === "Missed 1,Missed 2,Missed 3");
  ada.close();
  back.close();
}

// --- orders -----------------------------------------------------------------------------------

async function accept(order, token) {
  const headers = { Authorization: `Bearer ${token}`, "Idempotency-Key": random() };
  for (;;) {
    const reply = await ask("POST", `/hub/orders/${order}/accept`, { headers });
    if (reply.status !== 503) return reply.status;
    await sleep(1000 * Number(reply.headers.get("Retry-After")));
  }
}

async function race(say) {
  const names = Array.from({ length: 50 }, (_, i) => `p${i + 1}`);
  const tokens = await Promise.all(names.map((name) => demoToken("/hub", name)));
  const customer = { Authorization: `Bearer ${await demoToken("/hub", "carla")}` };
  const order = await (await ask("POST", "/hub/orders", { headers: customer, body: {
    pickup: "Bakery, 1 Mill Lane", dropoff: "12 High Street", fee_cents: 450 } })).json();
  say(`carla placed order ${order.id}; fifty partners want it now`);
  const replies = await Promise.all(tokens.map((token) => accept(order.id, token)));
  const won = names.filter((_, i) => replies[i] === 200);
  const lost = replies.filter((status) => status === 409).length;
  say(`200 for ${won.length} (${won.join(", ")}), 409 for ${lost}`, won.length === 1 && lost === 49);
  const now = await (await ask("GET", `/hub/orders/${order.id}`, { headers: customer })).json();
  say(`the order says: ${now.status}, partner ${now.partner}`, now.partner === won[0]);
}

// --- files ------------------------------------------------------------------------------------

async function download(path, headers) {
  try {
    const reply = await ask("GET", path, { headers, cache: "no-store" });
    return reply.ok ? await reply.text() : `refused with ${reply.status}`;
  } catch {
    return "broken off";
  }
}

async function flipByte(say) {
  const headers = { Authorization: `Bearer ${await secret("/vault-key.json")}` };
  const content = "PATIENT: DOE, JANE. Finding: none. ".repeat(2000);
  const stored = await (await ask("POST", "/vault/files", {
    headers: { ...headers, "Content-Type": "text/plain" }, body: new Blob([content]) })).json();
  const path = `/vault/files/${stored.id}`;
  say(`stored ${content.length.toLocaleString("en")} bytes as ${stored.id}`);
  say("it comes back equal", (await download(path, headers)) === content);
  const flipped = await fault(`/vault/demo/flip/${stored.id}`);
  say("one bit of it was flipped on disk", flipped.ok);
  const after = await download(path, headers);
  say(`the download is ${after === content ? "not refused" : after}`, after !== content);
}

// --- attendance -------------------------------------------------------------------------------

async function logIn(account) {
  const reply = await ask("POST", "/portal/login", { body: { account, password: "demo-password" } });
  if (!reply.ok) throw new Error(`${account} cannot log in: ${reply.status}`);
  return { "X-CSRF-Token": (await reply.json()).csrf_token };
}

async function nineOClock(say) {
  const csrf = await logIn("ana");
  const counts = {};
  const started = performance.now();
  let left = 1500;
  await Promise.all(Array.from({ length: READERS }, async () => {
    while (left-- > 0) {
      const reply = await ask("GET", "/portal/me/attendance", { cache: "no-store" });
      await reply.text();
      const from = reply.status !== 200 ? reply.status
        : reply.headers.get("Cache-Status").includes("hit") ? "from the cache" : "from the database";
      counts[from] = (counts[from] ?? 0) + 1;
    }
  }));
  const seconds = ((performance.now() - started) / 1000).toFixed(1);
  const all = Object.entries(counts).map(([from, n]) => `${n} ${from}`).join(", ");
  say(`1,500 readings by one student in ${seconds} s, this browser's time: ${all}`,
    (counts["from the cache"] ?? 0) >= 1400);
  say("1,500 different students: make bench-portal");
  await ask("POST", "/portal/logout", { headers: csrf });
}

async function askForClass(say) {
  const csrf = await logIn("ana");
  const reply = await ask("GET", "/portal/sessions/1/attendance");
  const problem = await reply.json();
  say(`ana asks for everybody's marks: ${reply.status} ${problem.title}`, reply.status === 403);
  await ask("POST", "/portal/logout", { headers: csrf });
}

// --- the page ---------------------------------------------------------------------------------

const shows = { killServer, closeLaptop, race, flipByte, nineOClock, askForClass };

async function run(button) {
  const log = button.closest(".try").querySelector(".log");
  const say = (line, holds) => {
    const li = document.createElement("li");
    if (holds !== undefined) li.dataset.is = holds ? "well" : "ill";
    li.textContent = holds === false ? `${line}: not as it should be` : line;
    log.append(li);
  };
  log.replaceChildren();
  button.disabled = true;
  try {
    await shows[button.dataset.show](say);
  } catch (error) {
    say(error.message, false);
  }
  button.disabled = false;
}

for (const link of document.querySelectorAll("[data-port]"))
  link.href = `${location.protocol}//${location.hostname}:${link.dataset.port}/`;
for (const button of document.querySelectorAll("[data-show]"))
  button.addEventListener("click", () => run(button));
showHealth();
