// What the views share. Text from others only ever becomes text nodes.

export const $ = (id) => document.getElementById(id);

export function element(tag, className, ...children) {
  const e = document.createElement(tag);
  if (className) e.className = className;
  e.append(...children);
  return e;
}

export function button(text, className, onclick) {
  const b = element("button", className, text);
  b.type = "button";
  b.addEventListener("click", onclick);
  return b;
}

// Said once, to everybody: screen readers hear it.
export function say(text, bad = false) {
  $("said").textContent = text;
  $("said").classList.toggle("error", bad);
}

// What goes wrong is said; the work's value, or undefined.
export async function attempt(work) {
  try {
    return await work();
  } catch (e) {
    say(e.message, true);
    return undefined;
  }
}

export const count = (n, one, many) => `${n.toLocaleString()} ${n === 1 ? one : many}`;
export const when = (at) => new Date(at).toLocaleString([], { dateStyle: "medium",
  timeStyle: "medium" });

export function row(...cells) {
  return element("tr", "", ...cells.map((c) => element("td", "", ...[c].flat())));
}
