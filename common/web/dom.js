// What the pages of several services share. Text from others only ever becomes text nodes.

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
