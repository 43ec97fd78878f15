// Files come by drag and drop or by choice: DICOM by STOW, all else as files. A few at a time.

import { upload } from "./api.js";
import { TAG, text } from "./dicom.js";
import { $, button, count, element } from "./ui.js";
import { openSeal } from "./seal.js";

const AT_ONCE = 2;
const SHOWN = 6; // lines of files that are done

let stored = () => {};
let queue = []; // {file, line, sent, state: "waiting" | "sending" | "stored" | "failed"}
let generation = 0; // of the key: what was sent under the one before is no matter of ours

// `then()` is called when all that was dropped is done.
export function whenStored(then) {
  stored = then;
}

export function forget() {
  generation += 1;
  queue = [];
  $("uploads").hidden = true;
  $("uploads-list").replaceChildren();
}

// --- sending -------------------------------------------------------------------------------------

async function isDicom(file) {
  const bytes = new Uint8Array(await file.slice(128, 132).arrayBuffer());
  return String.fromCharCode(...bytes) === "DICM";
}

function random() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return [...bytes].map((b) => b.toString(16).padStart(2, "0")).join("");
}

// Why not: of an instance in its sequence, of all else in the problem.
function problem(reply) {
  const [failed] = [TAG.failedSop, TAG.otherFailures]
    .flatMap((tag) => reply.body?.[tag]?.Value || []);
  return (failed && text(failed, TAG.errorComment)) || reply.body?.detail || reply.body?.title
    || `The server answered ${reply.status}.`;
}

async function sendDicom(file, onProgress) {
  const boundary = random();
  const body = new Blob([`--${boundary}\r\nContent-Type: application/dicom\r\n\r\n`, file,
    `\r\n--${boundary}--\r\n`]);
  const reply = await upload("/dicomweb/studies", body, { Accept: "application/dicom+json",
    "Content-Type": `multipart/related; type="application/dicom"; boundary=${boundary}` },
  onProgress);
  if (reply.status !== 200) throw new Error(problem(reply));
  return null;
}

async function sendFile(file, onProgress) {
  const name = encodeURIComponent(file.name)
    .replace(/['()*]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`);
  const reply = await upload("/files", file, { "Idempotency-Key": random(),
    "Content-Type": "application/octet-stream",
    "Content-Disposition": `attachment; filename*=UTF-8''${name}` }, onProgress);
  if (reply.status !== 201) throw new Error(problem(reply));
  return reply.body;
}

async function send(job) {
  const began = generation;
  const onProgress = (bytes) => {
    job.sent = Math.min(bytes, job.file.size);
    if (began === generation) draw();
  };
  job.state = "sending";
  try {
    const dicom = await isDicom(job.file);
    const answer = await (dicom ? sendDicom : sendFile)(job.file, onProgress);
    finish(job, "stored", dicom ? "in its study" : "as a file", answer);
  } catch (e) {
    finish(job, "failed", e.message);
  }
  if (began === generation) next();
}

function next() {
  const free = AT_ONCE - queue.filter((j) => j.state === "sending").length;
  queue.filter((j) => j.state === "waiting").slice(0, free).forEach(send);
  draw();
  if (queue.length && queue.every((j) => ["stored", "failed"].includes(j.state))) stored();
}

function add(files) {
  if (!files.length) return;
  if (!queue.some((j) => ["waiting", "sending"].includes(j.state))) forget();
  queue.push(...files.map((file) => ({ file, sent: 0, state: "waiting" })));
  $("uploads").hidden = false;
  next();
}

// --- showing -------------------------------------------------------------------------------------

function finish(job, state, how, answer) {
  job.state = state;
  job.sent = job.file.size;
  const said = element("span", "faint", state === "stored" ? `stored ${how}` : how);
  const line = element("li", state, element("span", "name", job.file.name), said);
  if (answer) line.append(button("Seal", "quiet", () => openSeal(answer)));
  $("uploads-list").prepend(line);
  // Of what went well the newest are enough.
  [...$("uploads-list").querySelectorAll(".stored")].slice(SHOWN).forEach((e) => e.remove());
}

function draw() {
  const of = (state) => queue.filter((j) => j.state === state).length;
  const all = queue.reduce((sum, j) => sum + j.file.size, 0);
  const sent = queue.reduce((sum, j) => sum + j.sent, 0);
  $("uploads-all").max = all || 1;
  $("uploads-all").value = all ? sent : 1;
  const failed = of("failed") ? `, ${of("failed")} failed` : "";
  $("uploads-said").textContent = `${of("stored").toLocaleString()} of `
    + `${count(queue.length, "file", "files")} stored${failed}`;
}

// --- where files come from -----------------------------------------------------------------------

function readEntries(reader) {
  return new Promise((done, failed) => { reader.readEntries(done, failed); });
}

// What lies in a folder, in folders of it too.
async function filesOf(entry) {
  if (entry.isFile) return [await new Promise((done, failed) => { entry.file(done, failed); })];
  const found = [];
  const reader = entry.createReader();
  for (let some = await readEntries(reader); some.length; some = await readEntries(reader)) {
    for (const inner of some) found.push(...await filesOf(inner));
  }
  return found;
}

async function dropped(transfer) {
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  const loose = [...transfer.files]; // gone once this function waits
  add(entries.length ? (await Promise.all(entries.map(filesOf))).flat() : loose);
}

const welcome = (event) => !$("vault").hidden && !document.querySelector("dialog[open]")
  && event.dataTransfer.types.includes("Files");
window.addEventListener("dragover", (event) => {
  event.preventDefault(); // else the browser leaves the page for the file
  $("drop").hidden = !welcome(event);
});
window.addEventListener("dragleave", (event) => {
  if (!event.relatedTarget) $("drop").hidden = true;
});
window.addEventListener("drop", (event) => {
  event.preventDefault();
  $("drop").hidden = true;
  if (welcome(event)) dropped(event.dataTransfer);
});
$("chosen").addEventListener("change", () => {
  add([...$("chosen").files]);
  $("chosen").value = "";
});
$("uploads-close").addEventListener("click", () => { $("uploads").hidden = true; });
