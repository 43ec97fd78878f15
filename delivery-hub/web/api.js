// The hub's API, for the page: requests that may be repeated, and the events.

const RETRY_MS = { first: 500, max: 10000 };
const TRIES = 3;

const session = { token: null, seen: null }; // seen: the Consistency-Token of the last write
const pause = (ms) => new Promise((done) => { setTimeout(done, ms); });

export function useToken(token) {
  session.token = token;
  session.seen = null;
}

const backOff = (tries) => pause(
  Math.min(RETRY_MS.first * 2 ** tries, RETRY_MS.max) * (0.5 + Math.random() / 2));

// Until it succeeds, or is not wanted any more.
export async function persist(work, wanted, onFailure) {
  for (let tries = 0; wanted(); tries += 1) {
    try {
      await work();
      return;
    } catch {
      onFailure();
      await backOff(tries);
    }
  }
}

function newKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(12));
  return [...bytes].map((b) => b.toString(16).padStart(2, "0")).join("");
}

async function answer(reply) {
  const body = reply.status === 204 ? null : await reply.json();
  return { ok: reply.ok, status: reply.status, body };
}

// Reads see what was last written here.
export async function get(path) {
  const headers = { Authorization: `Bearer ${session.token}` };
  if (session.seen) headers["Consistency-Token"] = session.seen;
  return answer(await fetch(path, { headers }));
}

// However often it is sent, the key makes it count once.
export async function post(path, body, token = session.token) {
  const headers = { Authorization: `Bearer ${token}`, "Idempotency-Key": newKey() };
  if (body) headers["Content-Type"] = "application/json";
  for (let tries = 1; ; tries += 1) {
    try {
      const reply = await fetch(path, { method: "POST", headers, body: body && JSON.stringify(body) });
      if (reply.status !== 503 || tries === TRIES) {
        session.seen = reply.headers.get("Consistency-Token") || session.seen;
        return answer(reply);
      }
      await pause(1000 * Number(reply.headers.get("Retry-After") || 1));
    } catch (e) {
      if (tries === TRIES) throw e;
      await pause(RETRY_MS.first);
    }
  }
}

export async function demoToken(account) {
  const reply = await fetch("/demo/login", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ account }),
  });
  if (reply.status === 404) return null;
  if (!reply.ok) throw new Error(`The server answered ${reply.status}.`);
  return (await reply.json()).token;
}

// One block of the stream, "name: value" a line.
function parse(block) {
  const fields = {};
  for (const line of block.split("\n")) {
    const at = line.indexOf(":");
    if (at > 0) fields[line.slice(0, at)] = line.slice(at + 1).trimStart();
  }
  return fields;
}

async function read(reply, place, onEvent) {
  const reader = reply.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    text += value;
    const blocks = text.split("\n\n");
    text = blocks.pop();
    for (const fields of blocks.map(parse)) {
      if (fields.id) place.id = fields.id;
      if (fields.event === "reset") session.seen ??= JSON.parse(fields.data).consistency_token;
      if (fields.event) onEvent(fields.event, JSON.parse(fields.data));
    }
  }
}

// EventSource cannot send the token. onState("on" | "off" | "refused"); returns what ends it.
export function listen(onEvent, onState) {
  const place = { id: null };
  const ending = new AbortController();
  const headers = () => ({ Authorization: `Bearer ${session.token}`,
    ...(place.id && { "Last-Event-ID": place.id }) });
  (async () => {
    for (let tries = 0; !ending.signal.aborted; tries += 1) {
      try {
        const reply = await fetch("/events", { headers: headers(), signal: ending.signal });
        if (reply.status === 401) {
          onState("refused");
          return;
        }
        if (reply.ok) {
          tries = 0;
          onState("on");
          await read(reply, place, onEvent);
        }
      } catch { /* the network: tried again */ }
      if (ending.signal.aborted) return;
      onState("off");
      await backOff(tries);
    }
  })();
  return () => ending.abort();
}
