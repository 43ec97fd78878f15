// The values of a frame of gray, and what a window makes of them. A window is set here and not by
// the server: it follows the hand, and a frame is fetched, and stands in the audit log, once.

import { TAG, number, text } from "./dicom.js";

// The first part's header and bytes of a multipart body.
function firstPart(bytes) {
  const head = new TextDecoder("latin1").decode(bytes.subarray(0, 4096));
  const opened = head.indexOf("--");
  const boundary = head.slice(opened, head.indexOf("\r\n", opened));
  const begin = head.indexOf("\r\n\r\n", opened) + 4;
  const tail = new TextDecoder("latin1").decode(bytes.subarray(-boundary.length - 8));
  const end = bytes.length - tail.length + tail.lastIndexOf(`\r\n${boundary}`);
  return { head: head.slice(opened, begin).toLowerCase(), bytes: bytes.slice(begin, end) };
}

// The values of a frame of gray, which came as it is stored; null when they are coded otherwise.
export function grayFrame(body, set) {
  const part = firstPart(body);
  const rows = number(set, TAG.rows, 0), columns = number(set, TAG.columns, 0);
  const allocated = number(set, TAG.allocated, 0), stored = number(set, TAG.stored, 0);
  const wanted = rows * columns * (allocated / 8);
  if (!part.head.includes("application/octet-stream") || ![8, 16].includes(allocated)
    || !wanted || part.bytes.length < wanted) return null;
  const cells = allocated === 8 ? new Uint8Array(part.bytes.buffer, 0, wanted)
    : new Uint16Array(part.bytes.buffer, 0, wanted / 2);
  const frame = { rows, columns, cells, stored, mask: 2 ** stored - 1,
    shift: number(set, TAG.highBit, stored - 1) + 1 - stored,
    sign: number(set, TAG.signed, 0) ? 2 ** (stored - 1) : 0,
    slope: number(set, TAG.slope, 1), intercept: number(set, TAG.intercept, 0),
    inverted: text(set, TAG.photometric) === "MONOCHROME1" };
  return { ...frame, ...range(frame) };
}

// What a stored value measures.
function measured(frame, cell) {
  const v = (cell >> frame.shift) & frame.mask;
  return (v & frame.sign ? v - frame.mask - 1 : v) * frame.slope + frame.intercept;
}

function range(frame) {
  let least = Infinity, greatest = -Infinity;
  for (const cell of frame.cells) {
    const v = measured(frame, cell);
    if (v < least) least = v;
    if (v > greatest) greatest = v;
  }
  return { least, greatest };
}

// The window that the instance names, else all its values.
export function ownWindow(frame, set) {
  const center = number(set, TAG.center), width = number(set, TAG.width);
  if (center !== undefined && width >= 1) return { center, width };
  return { center: (frame.least + frame.greatest + 1) / 2,
    width: Math.max(1, frame.greatest - frame.least + 1) };
}

// PS3.3, C.11.2.1.2.1; the array rounds and clamps. Every cell there may be, as red, green, blue.
function shades(frame, { center, width }) {
  const table = new Uint8ClampedArray(frame.cells.BYTES_PER_ELEMENT === 1 ? 256 : 65536);
  for (let cell = 0; cell < table.length; cell += 1) {
    const x = measured(frame, cell) - (center - 0.5);
    table[cell] = width > 1 ? (x / (width - 1) + 0.5) * 255 : (x > 0) * 255;
  }
  return frame.inverted ? table.map((v) => 255 - v) : table;
}

export function draw(canvas, frame, window) {
  const table = shades(frame, window);
  const image = new ImageData(frame.columns, frame.rows);
  const pixels = new Uint32Array(image.data.buffer);
  for (let i = 0; i < pixels.length; i += 1) {
    pixels[i] = 0xff000000 | table[frame.cells[i]] * 0x10101;
  }
  canvas.width = frame.columns;
  canvas.height = frame.rows;
  canvas.getContext("2d").putImageData(image, 0, 0);
}
