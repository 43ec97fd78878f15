// Studies by search; a study's series, each with a thumbnail.

import { call, getDicomJson, loadImage } from "./api.js";
import { TAG, date, number, text, values } from "./dicom.js";
import { $, attempt, button, count, element, say } from "./ui.js";
import { openSeries } from "./viewer.js";

const PAGE = 25;

let listed = 0;
const unfolded = new Set(); // UIDs of studies whose series are shown

export function forget() {
  unfolded.clear();
  $("study-list").replaceChildren();
  $("search").reset();
}

// --- a study -------------------------------------------------------------------------------------

function thumbnail(path) {
  const img = element("img");
  img.alt = "";
  loadImage(img, `${path}/thumbnail`, { Accept: "image/jpeg" })
    .catch(() => img.replaceWith(element("span", "no-picture", "No picture")));
  return element("span", "thumbnail", img);
}

function seriesCard(study, series) {
  const path = `/studies/${text(study, TAG.study)}/series/${text(series, TAG.series)}`;
  const title = text(series, TAG.seriesDescription) || `Series ${text(series, TAG.seriesNumber)}`;
  const n = number(series, TAG.instancesInSeries, 0);
  const b = button("", "series", () => attempt(() => openSeries(path, study, title)));
  b.append(thumbnail(`/dicomweb${path}`), element("strong", "", title),
    element("span", "faint", `${text(series, TAG.modality)} · ${count(n, "object", "objects")}`));
  return element("li", "", b);
}

async function showSeries(study, into) {
  const found = await getDicomJson(`/studies/${text(study, TAG.study)}/series`);
  found.sort((a, b) => number(a, TAG.seriesNumber, 0) - number(b, TAG.seriesNumber, 0));
  const remove = button("Delete this study", "quiet",
    () => attempt(() => removeStudy(study, into)));
  into.replaceChildren(element("ul", "series-list", ...found.map((s) => seriesCard(study, s))),
    element("p", "actions", remove));
}

async function removeStudy(study, into) {
  if (!window.confirm("Delete this study and all its objects for good?")) return;
  await call(`/dicomweb/studies/${text(study, TAG.study)}`, { method: "DELETE" });
  into.closest("li").remove();
  say("Deleted.");
}

function studyCard(study) {
  const uid = text(study, TAG.study);
  const into = element("div", "open");
  const fold = (open) => {
    into.hidden = !open;
    b.setAttribute("aria-expanded", String(open));
    unfolded[open ? "add" : "delete"](uid);
    if (open) attempt(() => showSeries(study, into));
  };
  const about = [date(study, TAG.studyDate), values(study, TAG.modalities).join(", "),
    count(number(study, TAG.seriesInStudy, 0), "series", "series"),
    count(number(study, TAG.instancesInStudy, 0), "object", "objects")];
  const id = text(study, TAG.patientId), accession = text(study, TAG.accession);
  const b = button("", "study", () => fold(into.hidden));
  b.dataset.study = uid;
  fold(unfolded.has(uid));
  b.append(element("strong", "", text(study, TAG.patientName) || "Without a name"),
    element("span", "", text(study, TAG.studyDescription)),
    element("span", "faint", about.filter(Boolean).join(" · ")),
    element("span", "faint", [id && `ID ${id}`, accession && `accession ${accession}`]
      .filter(Boolean).join(" · ")));
  return element("li", "", b, into);
}

// --- search --------------------------------------------------------------------------------------

// An open range is not for a blind index: the other end is a year away, or today.
function dateRange(from, to) {
  const day = (d) => d.toISOString().slice(0, 10);
  const shifted = (d, days) => day(new Date(Date.parse(d) + days * 86400000));
  if (!from && !to) return "";
  const begin = from || shifted(to, -365);
  const end = to || [shifted(from, 365), day(new Date())].sort()[0];
  return `${begin}-${end < begin ? begin : end}`.replace(/(\d{4})-(\d\d)-(\d\d)/g, "$1$2$3");
}

function query() {
  const fields = Object.fromEntries(new FormData($("search")));
  const { from, to, ...rest } = Object.fromEntries(
    Object.entries(fields).map(([name, value]) => [name, value.trim()]));
  const asked = { ...rest, StudyDate: dateRange(from, to) };
  return Object.entries(asked).filter(([, value]) => value)
    .map(([name, value]) => `&${name}=${encodeURIComponent(value)}`).join("");
}

async function page(offset) {
  const found = await getDicomJson(`/studies?limit=${PAGE}&offset=${offset}${query()}`);
  const focused = document.activeElement?.dataset?.study;
  if (!offset) $("study-list").replaceChildren();
  listed = offset + found.length;
  $("study-list").append(...found.map(studyCard));
  if (focused) document.querySelector(`[data-study="${CSS.escape(focused)}"]`)?.focus();
  if (!listed) {
    $("study-list").append(element("li", "empty", query() ? "No study is like that."
      : "No study yet. Drop DICOM files, or a folder of them, anywhere on this page."));
  }
  $("study-more").hidden = found.length < PAGE;
}

export const load = () => page(0);

$("search").addEventListener("submit", (event) => {
  event.preventDefault();
  say("");
  attempt(load);
});
$("search-clear").addEventListener("click", () => {
  $("search").reset();
  say("");
  attempt(load);
});
$("study-more").addEventListener("click", () => attempt(() => page(listed)));
