// How two files are sealed, side by side: the same content, and nothing alike on the disk.

import { getJson } from "./api.js";
import { $, attempt, count, element } from "./ui.js";

const LISTED = 1000;

let file = null;
let others = [];

const hex = (text) => text.match(/../g) || [];

// The bytes of `text`, those that stand at the same place in `other` marked.
function bytes(text, other) {
  const theirs = other ? hex(other) : [];
  return hex(text).map((b, i) => element("span", b === theirs[i] ? "same" : "", b));
}

function card(of, seal, other) {
  const rows = [["Name", of.name || "–"], ["Object", element("code", "", seal.id)],
    ["SHA-256 of the content", element("code", "", of.sha256)],
    ["Bytes on disk", `${seal.stored_size.toLocaleString()}, in `
      + count(seal.chunks, "chunk", "chunks")],
    ["Wrapped by key", String(seal.key)],
    ["Salt", element("code", "bytes", ...bytes(seal.salt, other?.salt))],
    ["Commitment", element("code", "bytes", ...bytes(seal.commitment, other?.commitment))]];
  return element("section", "", element("dl", "", ...rows.flatMap(([name, value]) => [
    element("dt", "", name), element("dd", "", value)])));
}

function verdict(a, b, other) {
  if (!other) return "Choose another file to compare with.";
  const mine = hex(a.salt + a.commitment), theirs = hex(b.salt + b.commitment);
  const same = mine.filter((x, i) => x === theirs[i]).length;
  const content = file.sha256 === other.sha256 ? "The same content" : "Different content";
  return `${content}. Of the ${mine.length} bytes that either file begins with on disk, ${same} `
    + `${same === 1 ? "agrees" : "agree"} in place; chance alone makes 1 in 256 agree.`;
}

async function draw() {
  const other = others.find((o) => o.id === $("seal-other").value);
  const [a, b] = await Promise.all([file, other].filter(Boolean)
    .map((f) => getJson(`/files/${f.id}/seal`)));
  $("seals").replaceChildren(card(file, a, b), ...(b ? [card(other, b, a)] : []));
  $("seal-verdict").textContent = verdict(a, b, other);
}

// `of` is a file as the API lists it. It is put beside one of the same content, if there is one.
export function openSeal(of) {
  return attempt(async () => {
    file = of;
    const listed = (await getJson(`/files?limit=${LISTED}`)).files;
    others = listed.filter((o) => o.id !== of.id && !o.damaged);
    others.sort((a, b) => (b.sha256 === of.sha256) - (a.sha256 === of.sha256));
    const told = (o) => `${o.sha256 === of.sha256 ? "same content: " : ""}${o.name || o.id}, `
      + o.created;
    $("seal-other").replaceChildren(new Option("no other file", ""),
      ...others.map((o) => new Option(told(o), o.id)));
    $("seal-other").value = others[0]?.sha256 === of.sha256 ? others[0].id : "";
    await draw();
    if (!$("seal").open) $("seal").showModal();
  });
}

$("seal-other").addEventListener("change", () => attempt(draw));
$("seal-close").addEventListener("click", () => $("seal").close());
