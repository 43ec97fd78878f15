// The partner's page: get an order, see how long it is yours, go on with it.

import { demoToken, get, post } from "./api.js";
import { $, Orders, STATES, about, button, element, fill, say } from "./ui.js";

const RACERS = 12;
const WAITING = 20;

let me = null;
let orders = new Orders();
const racers = new Map(); // account -> token

export async function load(account) {
  me = account;
  orders = new Orders();
  await orders.load(["pending", "assigned", "picked_up"].map(
    (status) => `/orders?status=${status}&limit=100`));
  draw();
}

export function hear(kind, order) {
  if (orders.put(order)) draw();
}

// Of one that went to somebody else nothing more is heard, so it is asked about.
async function forget(id) {
  const reply = await get(`/orders/${id}`);
  if (reply.status === 404) orders.byId.delete(id);
  else if (reply.ok) orders.put(reply.body);
  draw();
}

const REFUSED = {
  state: (b) => `too late, it is ${STATES[b.state].toLowerCase()}`,
  capacity: () => "you hold as many as you may",
  fence: () => "it went through other hands since",
};

function why(reply) {
  const b = reply.body;
  return REFUSED[b.reason] ? REFUSED[b.reason](b) : b.detail || b.title;
}

async function act(order, verb, done) {
  const body = verb === "accept" ? undefined : { fence: order.fence };
  const reply = await post(`/orders/${order.id}/${verb}`, body);
  if (reply.ok) {
    orders.put(reply.body);
    say(`#${order.id}: ${done}.`);
    draw();
  } else {
    say(`#${order.id}: ${why(reply)}.`, true);
    await forget(order.id);
  }
}

async function takeNext() {
  const reply = await post("/orders/next");
  if (reply.status === 204) {
    say("No order is waiting.");
  } else if (!reply.ok) {
    say(`No order for you: ${why(reply)}.`, true);
  } else {
    orders.put(reply.body);
    say(`#${reply.body.id} is yours.`);
    draw();
  }
}

// --- the race ----------------------------------------------------------------------------------

// The demo's partners, if there are any; else only you run.
async function meetRacers() {
  const names = Array.from({ length: RACERS }, (_, i) => `p${i + 1}`);
  await Promise.all(names.filter((name) => name !== me && !racers.has(name)).map(async (name) => {
    const token = await demoToken(name);
    if (token) racers.set(name, token);
  }));
}

function drawRacer(name, reply) {
  const won = reply.status === 200;
  const told = won ? "won" : reply.body.reason === "capacity" ? "full" : `${reply.status}`;
  const li = element("li", won ? "won" : "", element("strong", "", name), ` ${told}`);
  $("racers").append(li);
}

async function race() {
  const [order] = orders.where((o) => o.status === "pending");
  if (!order) {
    say("No order to race for.");
    return;
  }
  await meetRacers();
  $("racers").replaceChildren();
  const run = async (name, token) => {
    const reply = await post(`/orders/${order.id}/accept`, undefined, token);
    drawRacer(name, reply);
    return { name, reply };
  };
  const told = await Promise.all([run(me), ...[...racers].map(([name, token]) => run(name, token))]);
  const winners = told.filter((t) => t.reply.status === 200).map((t) => t.name);
  const lost = told.length - winners.length;
  say(`#${order.id}: ${told.length} asked, ${winners.join(" and ") || "nobody"} won, `
    + `${lost} did not.`, winners.length > 1);
  await forget(order.id);
}

// --- drawing -----------------------------------------------------------------------------------

function left(order) {
  const s = Math.max(0, Math.floor((new Date(order.lease_until) - Date.now()) / 1000));
  return `${Math.floor(s / 60)}:${String(s % 60).padStart(2, "0")}`;
}

function lease(order) {
  if (order.status !== "assigned") return [];
  const e = element("span", "lease", left(order));
  e.dataset.until = order.lease_until;
  return [element("span", "faint", "Pick it up within ", e)];
}

function item(order, ...buttons) {
  buttons.forEach((b) => b.setAttribute("aria-label", `${b.textContent} #${order.id}`));
  const li = element("li", "order", ...about(order), ...lease(order),
    element("span", "actions", ...buttons));
  li.dataset.key = order.id;
  return li;
}

function mine(order) {
  if (order.status === "picked_up") {
    return item(order, button("Delivered", "", () => act(order, "deliver", "delivered")));
  }
  return item(order, button("Picked up", "", () => act(order, "pickup", "picked up")),
    button("Give back", "second", () => act(order, "release", "given back")));
}

function draw() {
  const held = orders.where((o) => o.partner === me && ["assigned", "picked_up"].includes(o.status));
  const pending = orders.where((o) => o.status === "pending");
  fill($("mine"), held.map(mine), "You hold no order.");
  fill($("waiting"), pending.slice(0, WAITING).map((o) => item(o,
    button("Accept", "", () => act(o, "accept", "yours")))), "No order is waiting.");
  $("waiting-title").textContent = pending.length ? `Waiting (${pending.length})` : "Waiting";
}

// The countdown, without drawing the list anew.
export function tick() {
  document.querySelectorAll(".lease").forEach((e) => {
    e.textContent = left({ lease_until: e.dataset.until });
  });
}

const busy = (b, work) => async () => {
  b.disabled = true;
  try {
    await work();
  } catch {
    say("The server does not answer. Nothing is known of what you asked.", true);
  }
  b.disabled = false;
  b.focus();
};
$("next").addEventListener("click", busy($("next"), takeNext));
$("race").addEventListener("click", busy($("race"), race));
