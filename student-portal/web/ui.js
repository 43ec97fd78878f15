// What all pages share. Text from the server only ever becomes text nodes.

export const $ = (id) => document.getElementById(id);
export const MARKS = ["present", "late", "absent", "excused"];
export const path = (...parts) => "/" + parts.map(encodeURIComponent).join("/");

let csrf = "";
export function setCsrf(token) {
  csrf = token;
}

// The reply's JSON; a problem's detail becomes the message of the error. `body` is JSON, or a Blob.
export async function api(method, target, body) {
  const headers = {};
  if (method !== "GET") headers["X-CSRF-Token"] = csrf;
  if (body) headers["Content-Type"] = body instanceof Blob ? "text/csv" : "application/json";
  const send = body instanceof Blob || !body ? body : JSON.stringify(body);
  const reply = await fetch(target, { method, headers, body: send });
  const json = reply.status === 204 ? null : await reply.json();
  if (!reply.ok)
    throw Object.assign(new Error(json.detail ?? json.title), { status: reply.status, problem: json });
  return json;
}

export function say(text) {
  $("message").textContent = text;
}

// element("p", { class: "faint", onclick: f }, "text", node, ...); null is left out.
export function element(tag, attributes, ...children) {
  const e = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (name.startsWith("on")) e.addEventListener(name.slice(2), value);
    else if (typeof value === "boolean") e.toggleAttribute(name, value);
    else if (value != null) e.setAttribute(name, value);
  }
  e.append(...children.filter((c) => c != null));
  return e;
}

// A click that says what went wrong, and cannot be pressed twice meanwhile.
export function button(text, action, attributes) {
  const b = element("button", { type: "button", ...attributes }, text);
  b.addEventListener("click", async () => {
    b.disabled = true;
    await attempt(action);
    b.disabled = false;
  });
  return b;
}

export async function attempt(action) {
  say("");
  try {
    await action();
  } catch (error) {
    if (error.status === 401) location.reload();
    say(error.message);
  }
}

export function link(text, href, attributes) {
  return element("a", { href, ...attributes }, text);
}

export function field(label, input) {
  return element("label", null, label, input);
}

export function form(action, ...children) {
  return element("form", { class: "row", onsubmit: (event) => {
    event.preventDefault();
    attempt(() => action(Object.fromEntries(new FormData(event.target)), event.target));
  } }, ...children);
}

export function panel(title, ...children) {
  const head = title instanceof Node ? title : element("h2", null, title);
  return element("section", { class: "panel" }, head, ...children);
}

// The first cell of each row is its heading.
export function table(heads, rows, attributes) {
  const head = heads.map((h) => element("th", { scope: "col" }, h));
  const body = rows.map((cells) => element("tr", null, ...cells.map((cell, i) =>
    i ? element("td", null, cell) : element("th", { scope: "row" }, cell))));
  return element("div", { class: "scroll" }, element("table", attributes,
    element("thead", null, element("tr", null, ...head)), element("tbody", null, ...body)));
}

export const when = (time) =>
  new Date(time).toLocaleString([], { dateStyle: "medium", timeStyle: "short" });
