// All that is stored, as files.

import { call, getJson } from "./api.js";
import { openSeal } from "./seal.js";
import { $, attempt, button, element, row, say, when } from "./ui.js";

const PAGE = 50;

let next = null;

export function forget() {
  $("file-list").replaceChildren();
  $("find").reset();
}

async function download(file) {
  const blob = await (await call(`/files/${file.id}`)).blob();
  const link = element("a");
  link.href = URL.createObjectURL(blob);
  link.download = file.name || file.id;
  link.click();
  URL.revokeObjectURL(link.href);
}

async function remove(file, line) {
  if (!window.confirm(`Delete ${file.name || file.id} for good?`)) return;
  await call(`/files/${file.id}`, { method: "DELETE" });
  line.remove();
  say("Deleted.");
}

function named(text, file, work) {
  const b = button(text, "quiet", () => attempt(work));
  b.setAttribute("aria-label", `${text} ${file.name || file.id}`);
  return b;
}

function line(file) {
  const name = element("span", file.name ? "" : "faint", file.name || file.id);
  const digest = element("code", "", file.damaged ? "damaged" : file.sha256.slice(0, 16));
  const tr = row(name, file.damaged ? "" : file.size.toLocaleString(),
    file.damaged ? "" : when(file.created), digest);
  const does = file.damaged ? [] : [named("Get", file, () => download(file)),
    named("Seal", file, () => openSeal(file))];
  does.push(named("Delete", file, () => remove(file, tr)));
  tr.append(element("td", "does", ...does));
  return tr;
}

async function page(after) {
  const name = $("find").elements.name.value;
  const reply = await getJson(`/files?limit=${PAGE}${after ? `&after=${after}` : ""}`
    + `${name ? `&name=${encodeURIComponent(name)}` : ""}`);
  if (!after) $("file-list").replaceChildren();
  $("file-list").append(...reply.files.map(line));
  if (!$("file-list").children.length) {
    const empty = row(name ? "No file has that name." : "No file yet. Drop some here.");
    empty.firstChild.colSpan = 5;
    $("file-list").append(empty);
  }
  next = reply.next;
  $("file-more").hidden = !next;
}

export const load = () => page(null);

$("find").addEventListener("submit", (event) => {
  event.preventDefault();
  attempt(load);
});
$("find-all").addEventListener("click", () => {
  $("find").reset();
  attempt(load);
});
$("file-more").addEventListener("click", () => attempt(() => page(next)));
