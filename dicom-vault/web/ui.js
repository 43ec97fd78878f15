// What the views share.

import { $, button, element, say } from "/dom.js";

export { $, button, element, say };

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
