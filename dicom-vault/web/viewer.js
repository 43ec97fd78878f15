// A series' pictures one by one: level and window by drag, pictures by wheel, tags.

import { call, getDicomJson, loadImage } from "./api.js";
import { TAG, number, text } from "./dicom.js";
import { draw as drawFrame, grayFrame, ownWindow } from "./frame.js";
import { showTags } from "./tags.js";
import { $, button } from "./ui.js";

const KEPT = 128 << 20; // bytes of pictures
const INSTANCES = 5000; // of a series
const PAGE = 200; // that many always fit into a reply
const PLACES = 200000; // whatever the instances say of their frames
const PRESETS = { CT: { "Soft tissue": [40, 400], Lung: [-600, 1500], Bone: [400, 1800],
  Brain: [40, 80] } };

let places = []; // {path of the instance, frame}
let at = 0;
let now = null; // the picture shown: {set, gray} or {set, image}
let chosen = null; // {center, width}; null: each picture's own
let kept = new Map(); // place's index -> promise of a picture
let opened = 0;

export function forget() {
  kept = new Map();
  places = [];
  now = null;
}

// --- fetching ------------------------------------------------------------------------------------

const sets = new Map(); // an instance's path -> promise of its metadata

function metadata(path) {
  if (!sets.has(path)) {
    sets.set(path, getDicomJson(`${path}/metadata`).then(([set]) => set));
    sets.get(path).catch(() => sets.delete(path));
  }
  return sets.get(path);
}

async function gray(set, { path, frame }) {
  if (number(set, TAG.samples, 1) !== 1) return null;
  try {
    const reply = await call(`/dicomweb${path}/frames/${frame}`,
      { headers: { Accept: 'multipart/related; type="application/octet-stream"' } });
    return grayFrame(new Uint8Array(await reply.arrayBuffer()), set);
  } catch (e) {
    if (e.status) return null; // compressed, or an object without pictures: rendering says which
    throw e;
  }
}

async function fetchPicture(place) {
  const set = await metadata(place.path);
  const values = await gray(set, place);
  if (values) return { set, gray: values, size: values.cells.buffer.byteLength };
  const image = new Image();
  try {
    await loadImage(image, `/dicomweb${place.path}/frames/${place.frame}/rendered`,
      { Accept: "image/jpeg" });
  } catch (e) {
    return { set, why: e.message, size: 0 };
  }
  return { set, image, size: image.naturalWidth * image.naturalHeight * 4 };
}

// Those used last stay, up to KEPT bytes.
function picture(i) {
  const known = kept.get(i) || fetchPicture(places[i]);
  const mine = kept;
  kept.delete(i);
  kept.set(i, known);
  known.then((p) => {
    let sum = 0;
    known.size = p.size;
    for (const [key, one] of [...mine].reverse()) {
      sum += one.size || 0;
      if (sum > KEPT && key !== i) mine.delete(key);
    }
  }, () => mine.delete(i));
  return known;
}

// --- drawing -------------------------------------------------------------------------------------

const shownWindow = () => chosen || ownWindow(now.gray, now.set);
const rounded = (v) => (Math.abs(v) < 10 ? v.toFixed(2) : v.toFixed(0));

function setSlider(id, least, greatest, value) {
  $(id).min = Math.min(least, value);
  $(id).max = Math.max(greatest, value);
  $(id).value = value;
  $(`${id}-at`).textContent = rounded(value);
}

function drawGray() {
  const w = shownWindow();
  const { least, greatest } = now.gray;
  drawFrame($("picture"), now.gray, w);
  setSlider("center", least, greatest, w.center);
  setSlider("width", 1, Math.max(2, 2 * (greatest - least)), w.width);
}

function wipe() {
  $("picture").width = 1;
  $("picture").height = 1;
}

function drawImage(image) {
  $("picture").width = image.naturalWidth;
  $("picture").height = image.naturalHeight;
  $("picture").getContext("2d").drawImage(image, 0, 0);
}

function draw() {
  $("window").disabled = !now.gray;
  $("picture-said").textContent = now.why || "";
  if (now.gray) drawGray();
  else if (now.image) drawImage(now.image);
  else wipe();
}

function place() {
  const said = `${at + 1} of ${places.length}`;
  $("frame").max = places.length;
  $("frame").value = at + 1;
  $("frame-at").textContent = said;
  $("picture-place").textContent = said;
  $("frame-label").hidden = places.length < 2;
}

async function go(to) {
  at = Math.max(0, Math.min(places.length - 1, to));
  place();
  const wanted = at, mine = opened;
  const stale = () => wanted !== at || mine !== opened;
  try {
    const got = await picture(wanted);
    if (stale()) return;
    const before = now?.set;
    now = got;
    draw();
    if (before !== got.set) showTags(got.set);
    if (wanted + 1 < places.length) picture(wanted + 1).catch(() => {});
  } catch (e) {
    if (!stale()) $("picture-said").textContent = e.message;
  }
}

// --- opening -------------------------------------------------------------------------------------

function presets(modality) {
  const named = Object.entries(PRESETS[modality] || {}).map(([name, [center, width]]) => button(
    name, "second", () => setWindow(center, width)));
  $("presets").replaceChildren(button("As stored", "second", () => {
    chosen = null;
    if (now) draw();
  }), ...named);
}

function placesOf(instances, path) {
  const list = [];
  for (const instance of instances) {
    const own = `${path}/instances/${text(instance, TAG.sopInstance)}`;
    const frames = Math.min(number(instance, TAG.frames, 1), PLACES - list.length);
    for (let frame = 1; frame <= frames; frame += 1) list.push({ path: own, frame });
  }
  return list;
}

// A page may be short of what is damaged: the empty one is the end.
async function instancesOf(path) {
  const found = [];
  for (let offset = 0; offset < INSTANCES; offset += PAGE) {
    const page = await getDicomJson(`${path}/instances?limit=${PAGE}&offset=${offset}`);
    if (!page.length) break;
    found.push(...page);
  }
  return found;
}

// The series at `path`; the study is as QIDO has it.
export async function openSeries(path, study, title) {
  const found = await instancesOf(path);
  found.sort((a, b) => number(a, TAG.instanceNumber, 0) - number(b, TAG.instanceNumber, 0));
  forget();
  opened += 1;
  sets.clear();
  chosen = null;
  places = placesOf(found, path);
  $("viewer-title").textContent = text(study, TAG.patientName) || "Without a name";
  $("viewer-about").textContent = [text(study, TAG.studyDescription), title]
    .filter(Boolean).join(" · ");
  presets(text(found[0] || {}, TAG.modality));
  $("picture-said").textContent = places.length ? "…" : "This series is empty.";
  wipe();
  showTags({});
  $("tags-find").value = "";
  $("viewer").showModal();
  $("picture").focus();
  if (places.length) await go(0);
}

// --- by hand -------------------------------------------------------------------------------------

function setWindow(center, width) {
  chosen = { center, width: Math.max(1, width) };
  if (now) draw();
}

// By so many steps, of which some hundred are all the values there are.
function shift(levelSteps, widthSteps) {
  if (!now?.gray) return;
  const w = shownWindow();
  const step = Math.max(now.gray.greatest - now.gray.least, 1) / 400;
  setWindow(w.center + levelSteps * step, w.width + widthSteps * step);
}

const KEYS = { ArrowUp: -1, ArrowDown: 1, PageUp: -10, PageDown: 10, Home: -Infinity,
  End: Infinity };
const WINDOW_KEYS = { ArrowUp: [8, 0], ArrowDown: [-8, 0], ArrowLeft: [0, -8],
  ArrowRight: [0, 8] };

$("picture").addEventListener("keydown", (event) => {
  const steps = event.shiftKey ? WINDOW_KEYS[event.key] : KEYS[event.key];
  if (steps === undefined) return;
  event.preventDefault();
  if (event.shiftKey) shift(...steps);
  else go(at + steps);
});
let turned = 0; // of a wheel that tells less than a notch at a time
$("stage").addEventListener("wheel", (event) => {
  event.preventDefault();
  turned += event.deltaMode === 0 ? event.deltaY / 60 : event.deltaY;
  const whole = Math.trunc(turned);
  turned -= whole;
  if (whole) go(at + Math.sign(whole));
}, { passive: false });
$("picture").addEventListener("pointerdown", (event) => {
  if (event.button === 0) $("picture").setPointerCapture(event.pointerId);
});
$("picture").addEventListener("pointermove", (event) => {
  if ($("picture").hasPointerCapture(event.pointerId)) shift(-event.movementY, event.movementX);
});
$("frame").addEventListener("input", () => go(Number($("frame").value) - 1));
$("center").addEventListener("input", () => setWindow(Number($("center").value),
  shownWindow().width));
$("width").addEventListener("input", () => setWindow(shownWindow().center,
  Number($("width").value)));
$("viewer").addEventListener("close", () => {
  opened += 1;
  forget();
});
$("viewer-close").addEventListener("click", () => $("viewer").close());
