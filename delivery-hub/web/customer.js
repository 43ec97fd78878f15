// The customer's page: place orders, and see what becomes of them.

import { post } from "./api.js";
import { $, Orders, STATES, about, button, element, fill, say } from "./ui.js";

let orders = new Orders();

export async function load() {
  orders = new Orders();
  await orders.load(["/orders?limit=50"]);
  draw();
}

export function hear(kind, order) {
  if (orders.put(order)) draw();
}

export function tick() {}

async function cancel(order) {
  const reply = await post(`/orders/${order.id}/cancel`);
  if (reply.ok) orders.put(reply.body);
  say(reply.ok ? `#${order.id} is cancelled.` : `#${order.id}: ${reply.body.detail}.`, !reply.ok);
  draw();
}

function draw() {
  fill($("placed"), orders.where(() => true).map((o) => {
    const open = ["pending", "assigned"].includes(o.status);
    const li = element("li", "order", ...about(o),
      element("span", `state ${o.status}`, STATES[o.status]),
      ...(open ? [button("Cancel", "second", () => cancel(o))] : []));
    li.dataset.key = o.id;
    return li;
  }), "No order yet.");
}

$("place-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const form = new FormData(event.target);
  const reply = await post("/orders", { pickup: form.get("pickup"), dropoff: form.get("dropoff"),
    fee_cents: Number(form.get("fee_cents")) });
  if (!reply.ok) {
    say(reply.body.detail || reply.body.title, true);
    return;
  }
  orders.put(reply.body);
  say(`#${reply.body.id} is placed.`);
  draw();
});
