// The dispatcher's board: counts and columns by state; an order's history on a click.

import { get } from "./api.js";
import { $, Orders, STATES, about, button, element, fill, money, time } from "./ui.js";

const SHOWN = 20; // cards of a column
const COUNT_MS = 1000;

let orders = new Orders();
let counts = null;
let counting = null;
let shown = null; // the order whose history is open

async function count() {
  counting = null;
  const reply = await get("/stats");
  if (!reply.ok) return;
  counts = reply.body;
  drawCounts();
}

const countSoon = () => { counting ??= setTimeout(count, COUNT_MS); };

export async function load() {
  orders = new Orders();
  await orders.load(Object.keys(STATES).map((state) => `/orders?status=${state}&limit=${SHOWN}`));
  draw();
  await count();
}

export function hear(kind, order) {
  if (!orders.put(order)) return;
  draw();
  countSoon();
  if (shown === order.id) open(order.id);
}

// Time goes by: the board has nothing that shows it.
export function tick() {}

function drawCounts() {
  const of = (n) => (n === counts.counted_to ? `${n.toLocaleString()}+` : n.toLocaleString());
  const rows = Object.entries(STATES).map(([state, name]) => [name, of(counts.orders[state])]);
  rows.push(["Oldest pending", counts.orders.pending ? `${counts.oldest_pending_s} s` : "–"]);
  $("counts").replaceChildren(...rows.map(([name, value]) => element("div", "",
    element("dt", "", name), element("dd", "", value))));
}

function card(order) {
  const b = button("", "order", () => open(order.id));
  b.append(...about(order));
  const li = element("li", "", b);
  li.dataset.key = order.id;
  return li;
}

function draw() {
  for (const state of Object.keys(STATES)) {
    const all = orders.where((o) => o.status === state);
    fill($(`column-${state}`), all.slice(0, SHOWN).map(card), "None");
    // What left the column's end is asked for again when it is needed.
    all.slice(SHOWN).forEach((o) => orders.byId.delete(o.id));
  }
}

async function open(id) {
  const [order, history] = await Promise.all([get(`/orders/${id}`), get(`/orders/${id}/history`)]);
  if (!order.ok || !history.ok) return;
  shown = id;
  const o = order.body;
  $("history-title").textContent = `Order #${id}: ${STATES[o.status]}`;
  const rows = { Customer: o.customer, Partner: o.partner || "–", From: o.pickup, To: o.dropoff,
    Fee: money(o.fee_cents), Note: o.note || "–", Fence: String(o.fence) };
  $("history-order").replaceChildren(...Object.entries(rows).flatMap(([name, value]) => [
    element("dt", "", name), element("dd", "", value)]));
  $("history-steps").replaceChildren(...history.body.events.map((e) => element("li", "",
    element("time", "faint", time(e.at)), element("strong", "", e.event.replace("_", " ")),
    element("span", "", `by ${e.actor}`))));
  if (!$("history").open) $("history").showModal();
}

$("columns").append(...Object.entries(STATES).map(([state, name]) => {
  const title = element("h3", "", name);
  title.id = `title-${state}`;
  const list = element("ul", "orders");
  list.id = `column-${state}`;
  const section = element("section", "", title, list);
  section.setAttribute("aria-labelledby", title.id);
  return section;
}));
$("history-close").addEventListener("click", () => $("history").close());
$("history").addEventListener("close", () => { shown = null; });
