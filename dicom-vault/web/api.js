// The vault's API, for the page. The key is in this module's memory, in no storage and no cookie.

let key = null;
let refused = () => {};

// onRefused() is called when the key turns out to be no good (any more).
export function useKey(text, onRefused) {
  key = text;
  refused = onRefused;
}

export class Refusal extends Error {
  constructor(status, problem) {
    super(problem?.detail || problem?.title || `The server answered ${status}.`);
    this.status = status;
  }
}

const authorization = () => ({ Authorization: `Bearer ${key}` });

async function problemOf(reply) {
  try {
    return await reply.json();
  } catch {
    return null;
  }
}

// The reply, which is a success.
export async function call(path, { method = "GET", headers = {} } = {}) {
  const tell = refused; // of this key, whoever signs in meanwhile
  const reply = await fetch(path, { method, headers: { ...headers, ...authorization() } });
  if (reply.ok) return reply;
  if (reply.status === 401) tell();
  throw new Refusal(reply.status, await problemOf(reply));
}

// 204 is an empty list: QIDO's way to say that nothing matches.
export async function getJson(path, type = "application/json") {
  const reply = await call(path, { headers: { Accept: type } });
  return reply.status === 204 ? [] : reply.json();
}

export const getDicomJson = (path) => getJson(`/dicomweb${path}`, "application/dicom+json");

// An <img> that shows the picture once it is there, or `alt` when there is none. It has to be
// fetched by script, as no tag sends the key.
export async function loadImage(img, path, headers = {}) {
  const blob = await (await call(path, { headers })).blob();
  img.src = URL.createObjectURL(blob);
  try {
    await img.decode();
  } finally {
    URL.revokeObjectURL(img.src);
  }
}

// XMLHttpRequest, since fetch does not tell how far an upload is. onProgress(bytes sent).
export function upload(path, body, headers, onProgress) {
  return new Promise((done, failed) => {
    const request = new XMLHttpRequest();
    const tell = refused;
    request.open("POST", path);
    Object.entries({ ...headers, ...authorization() })
      .forEach(([name, value]) => request.setRequestHeader(name, value));
    request.upload.addEventListener("progress", (e) => onProgress(e.loaded));
    request.addEventListener("error", () => failed(new Error("The server does not answer.")));
    request.addEventListener("load", () => {
      if (request.status === 401) tell();
      let answer = null;
      try {
        answer = JSON.parse(request.responseText);
      } catch { /* no JSON: the status says it all */ }
      done({ status: request.status, body: answer });
    });
    request.send(body);
  });
}
