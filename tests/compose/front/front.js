// Each button runs one experiment against the demo's servers and says what came back.

const RECONNECT_MS = 200;
const PATIENCE_MS = 20000;
const TRIES = 4;
const READERS = 100;
const WINDOWS = 15; // of each person on each server, who may have twenty
const PAIRS = 400;
const HEADER = 56; // bytes of a sealed file

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
  const reply = await ask("GET", path, { cache: "no-store" });
  if (reply.status === 403) throw new Error("the keys of this demo are given to localhost only");
  if (!reply.ok) throw new Error("no key for this: DEMO_FAULTS is off, or BIND is not this machine");
  return (await reply.json()).key;
}

async function fault(path) { // once: a second try would find the server that came back
  const headers = { Authorization: `Bearer ${await secret("/fault-key.json")}` };
  const reply = await fetch(path, { method: "POST", headers });
  if (reply.status >= 400 && reply.status < 500)
    throw new Error(`the server refuses to be broken: ${reply.status}`);
  return reply;
}

function within(ms, promise, what) {
  const late = sleep(ms).then(() => { throw new Error(`not within ${ms / 1000} s: ${what}`); });
  return Promise.race([promise, late]);
}

// Runs `one` so many times, a hundred at a time; a browser refuses to have thousands under way.
async function crowd(times, one) {
  let left = times;
  await Promise.all(Array.from({ length: READERS }, async () => {
    while (left-- > 0) await one();
  }));
}

const since = (started) => (performance.now() - started).toFixed(0);

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
  static async open(server, account, known) {
    const chat = new Chat();
    chat.waiting = [];
    chat.got = [];
    const token = known ?? await demoToken(`/chat-${server}`, account);
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

// Everybody gets each of the messages once and in order; how long the last one of them took.
async function speak(members, room, count) {
  const started = performance.now();
  for (let n = 0; n < count; n++) members[0].put({ type: "send", room, id: random(), text: `${n}` });
  const got = await Promise.all(members.map((member) => member.messages(count)));
  const right = got.every((list) => list.every((m, n) => m.seq === got[0][0].seq + n));
  return { took: since(started), right };
}

async function fillRoom(say) {
  const room = `front-${random()}`;
  const members = [];
  const people = ["ada", "grace", "linus", "barbara"];
  const tokens = await Promise.all(people.map((who) => demoToken("/chat-a", who)));
  const fill = async (count, head) => {
    while (members.length < count) {
      const n = members.length;
      const chat = await Chat.open("ab"[n % 2], null, tokens[(n >> 1) % people.length]);
      members.push(chat);
      await chat.join(room, head);
    }
  };
  try {
    for (const [size, head] of [[5, 0], [2 * WINDOWS * people.length, 20]]) {
      await fill(size, head);
      const { took, right } = await speak(members, room, 20);
      say(`${size} windows on two servers: 20 messages, ${20 * size} deliveries in order, ${took} ms`,
        right);
    }
  } finally {
    for (const chat of members) chat.close();
  }
  say("500 and 2,000 members, beside the original's design: make proof-s1");
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
  await within(PATIENCE_MS, ada.closed, "the end of ada's connection");
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

// Who answered readings so far, by place.
async function readsBy() {
  const text = await (await ask("GET", "/hub/metrics", { cache: "no-store" })).text();
  return Object.fromEntries([...text.matchAll(/^hub_reads_total\{from="(\w+)"\} (\d+)/gm)]
    .map(([, from, n]) => [from, Number(n)]));
}

async function readOrders(say) {
  const [customer, dispatcher] = await Promise.all(["carla", "dora"].map(
    async (who) => ({ Authorization: `Bearer ${await demoToken("/hub", who)}` })));
  const stats = await (await ask("GET", "/hub/stats", { headers: dispatcher })).json();
  say(`${stats.orders.pending.toLocaleString("en")} orders or more wait for a partner`,
    stats.orders.pending >= 100000);
  let started = performance.now();
  await ask("GET", "/hub/orders?status=pending&limit=50", { headers: dispatcher, cache: "no-store" });
  say(`a page of 50 of them took ${since(started)} ms: its statement walks an index to a limit`);
  const order = await (await ask("POST", "/hub/orders", { headers: customer, body: {
    pickup: "Bakery, 1 Mill Lane", dropoff: "12 High Street", fee_cents: 450 } })).json();
  const before = await readsBy();
  started = performance.now();
  await crowd(1500, async () => {
    const reply = await ask("GET", `/hub/orders/${order.id}`, { headers: customer, cache: "no-store" });
    if ((await reply.json()).id !== order.id) throw new Error(`another order, or ${reply.status}`);
  });
  const took = since(started);
  const after = await readsBy();
  const by = Object.keys(after).map((from) => [from, after[from] - (before[from] ?? 0)]);
  say(`"where is my order?" 1,500 times in ${took} ms, answered by: `
    + by.map(([from, n]) => `${from} ${n}`).join(", "),
    by.find(([from]) => from === "primary")[1] < 150);
  say("each of these switched off in turn, and what then breaks: make proof-d2");
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

const other = (digit) => (digit === "0" ? "1" : "0");

// One wrong key differs from the right one in its first digit, one in its last: a comparison that
// stops at the first difference takes longer for the second.
async function timeKeys(say) {
  const right = await secret("/fault-key.json");
  const wrong = [other(right[0]) + right.slice(1), right.slice(0, -1) + other(right.at(-1))];
  const time = async (key) => {
    const started = performance.now();
    const reply = await fetch("/vault/demo/crash",
      { method: "POST", headers: { Authorization: `Bearer ${key}` } });
    if (reply.status !== 403) throw new Error(`a wrong key: ${reply.status}`);
    return performance.now() - started;
  };
  let later = 0;
  for (let n = 0; n < PAIRS; n++) {
    const first = Math.random() < 0.5 ? 0 : 1; // whoever is asked second may find it warm
    const times = [];
    for (const which of [first, 1 - first]) times[which] = await time(wrong[which]);
    later += times[1] > times[0] ? 1 : times[1] === times[0] ? 0.5 : 0;
  }
  const percent = (100 * later / PAIRS).toFixed(0);
  say(`${PAIRS} pairs of wrong keys: right up to the last digit took longer than wrong from the`
    + ` first in ${percent}%; a coin gives 50%`, percent > 35 && percent < 65);
  say("a browser's clock is coarse; a leaky comparison read digit by digit, and ours: make proof-v1");
}

async function reuseIv(say) {
  const key = await crypto.subtle.generateKey({ name: "AES-GCM", length: 256 }, false, ["encrypt"]);
  const bytes = (string) => new TextEncoder().encode(string);
  const seal = async (iv, string) => new Uint8Array(
    await crypto.subtle.encrypt({ name: "AES-GCM", iv }, key, bytes(string)));
  const known = "Attack at dawn, by the bridge.", hidden = "DOE, JANE: nothing was found. ";
  const read = async (iv, ivToo) => {
    const [a, b] = [await seal(iv, known), await seal(ivToo, hidden)];
    return new TextDecoder().decode(bytes(known).map((byte, n) => byte ^ a[n] ^ b[n]));
  };
  const iv = () => crypto.getRandomValues(new Uint8Array(12));
  const once = iv();
  say(`in this page, one IV for two texts: who knows one reads the other, "${await read(once, once)}"`,
    await read(once, once) === hidden);
  say("another IV for each: noise comes out", await read(iv(), iv()) !== hidden);
  const headers = { Authorization: `Bearer ${await secret("/vault-key.json")}` };
  const disks = [];
  for (let n = 0; n < 2; n++) {
    const stored = await (await ask("POST", "/vault/files", {
      headers: { ...headers, "Content-Type": "text/plain" }, body: new Blob([hidden.repeat(2000)]) })).json();
    disks.push(await blocksOnDisk(stored.id));
  }
  const [first, second] = disks;
  const same = [...second].filter((block) => first.has(block)).length;
  say(`on the vault's disk, one file stored twice: of ${first.size.toLocaleString("en")} blocks,`
    + ` ${same} are the same`, first.size > 3000 && same === 0);
  say("as pictures, and a tag forged: make proof-v2");
}

// The sealed blocks of a file as they lie there, in hex, without its header.
async function blocksOnDisk(id) {
  const reply = await ask("GET", `/disk/${id[0]}/${id[1]}/${id}`, { cache: "no-store" });
  if (!reply.ok) throw new Error(`the disk is shown to localhost only: ${reply.status}`);
  const sealed = new Uint8Array(await reply.arrayBuffer()).slice(HEADER);
  const blocks = new Set();
  for (let at = 0; at + 16 <= sealed.length; at += 16)
    blocks.add(Array.from(sealed.slice(at, at + 16), text).join(""));
  return blocks;
}

// A comparison of the page's own, in made-up microseconds: 1 more for a right digit, and a random
// delay of up to 100. How many tries of each candidate until eight digits of eight are read?
function triesToRead(judge) {
  const time = (right) => (right ? 1 : 0) + 100 * Math.random();
  const readsOne = (tries) => {
    const scores = Array.from({ length: 16 }, (_, digit) => judge(() => time(digit === 0), tries));
    return scores[0] === Math.max(...scores);
  };
  for (let tries = 4; ; tries *= 2)
    if (Array.from({ length: 8 }, () => readsOne(tries)).every(Boolean)) return tries;
}

function mean(time, tries) {
  let sum = 0;
  for (let n = 0; n < tries; n++) sum += time();
  return sum / tries;
}

function least(time, tries) {
  let low = Infinity;
  for (let n = 0; n < tries; n++) low = Math.min(low, time());
  return low;
}

async function averageDelays(say) {
  const [byMean, byLeast] = [triesToRead(mean), triesToRead(least)];
  say(`a leaky comparison behind random delays, made up in this page: 8 digits read with ${
    byMean.toLocaleString("en")} tries a candidate by their mean`, byMean > 16);
  say(`and with ${byLeast.toLocaleString("en")} by their minimum: now and then the delay is near`
    + " nothing", byLeast < byMean);
  say("so it only costs more tries, and every honest user waits; a real server: make proof-v1");
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
  await crowd(1500, async () => {
    const reply = await ask("GET", "/portal/me/attendance", { cache: "no-store" });
    await reply.text();
    const from = reply.status !== 200 ? reply.status
      : reply.headers.get("Cache-Status").includes("hit") ? "from the cache" : "from the database";
    counts[from] = (counts[from] ?? 0) + 1;
  });
  const all = Object.entries(counts).map(([from, n]) => `${n} ${from}`).join(", ");
  say(`1,500 readings by one student, since a browser is one, in ${since(started)} ms: ${all}`,
    (counts["from the cache"] ?? 0) >= 1400);
  say("1,500 different students, cold and warm, and how many queries they cost: make proof-p1");
  await ask("POST", "/portal/logout", { headers: csrf });
}

// Who asks for what, and what they shall get; the last one shows that it is there.
const DOORS = [
  ["ana", "/sessions/1/attendance", "everybody's marks", 403], ["ana", "/users", "all accounts", 403],
  ["ana", "/dashboard", "the dashboard", 403], ["frank", "/dashboard", "the dashboard", 403],
  ["frank", "/courses/ma110/students", "another teacher's class", 404],
  ["alma", "/dashboard", "the dashboard", 200],
];

async function askAround(say) {
  for (const [who, path, what, expected] of DOORS) {
    const csrf = await logIn(who);
    const { status } = await ask("GET", `/portal${path}`, { cache: "no-store" });
    say(`${who} asks for ${what}: ${status}`, status === expected);
    await ask("POST", "/portal/logout", { headers: csrf });
  }
  say("every route as every role: make proof-p2");
}

// --- the page ---------------------------------------------------------------------------------

const shows = {
  fillRoom, killServer, closeLaptop, race, readOrders, timeKeys, reuseIv, averageDelays, flipByte,
  nineOClock, askAround,
};

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
