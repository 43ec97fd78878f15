// What the views share.

import { get } from "./api.js";
import { $, button, element, say } from "/dom.js";

export { $, button, element, say };

export const STATES = { pending: "Pending", assigned: "Assigned", picked_up: "Picked up",
  delivered: "Delivered", cancelled: "Cancelled" };

export const money = (cents) => (cents / 100).toFixed(2);
export const time = (at) => new Date(at).toLocaleTimeString([], { hour: "2-digit",
  minute: "2-digit", second: "2-digit" });

// What an order is about, as the children of a card.
export function about(order) {
  return [
    element("strong", "", `#${order.id}`),
    element("span", "way", order.pickup, " → ", order.dropoff),
    element("span", "faint", money(order.fee_cents),
      order.partner ? ` · ${order.partner}` : "", order.note ? ` · ${order.note}` : ""),
  ];
}

// Put `items` into `list` without losing the focus of what stays: items have data-key.
export function fill(list, items, empty) {
  const focused = list.contains(document.activeElement) && document.activeElement;
  const key = focused && focused.closest("[data-key]")?.dataset.key;
  const label = focused && focused.textContent;
  list.replaceChildren(...(items.length ? items : [element("li", "empty", empty)]));
  if (!key) return;
  const again = [...list.querySelectorAll("[data-key]")].find((e) => e.dataset.key === key);
  const buttons = again ? [...again.querySelectorAll("button")] : [];
  (buttons.find((b) => b.textContent === label) || buttons[0])?.focus();
}

// The orders that the page knows, each in its newest version.
export class Orders {
  constructor() {
    this.byId = new Map();
  }

  // False for a version that is known already.
  put(order) {
    const known = this.byId.get(order.id);
    if (known && known.version >= order.version) return false;
    this.byId.set(order.id, order);
    return true;
  }

  // Those of the lists; what is heard meanwhile stays.
  async load(paths) {
    for (const page of await Promise.all(paths.map(get))) {
      if (!page.ok) throw new Error(`The server answered ${page.status}.`);
      page.body.orders.forEach((o) => this.put(o));
    }
  }

  // The newest first.
  where(test) {
    return [...this.byId.values()].filter(test).sort((a, b) => Number(b.id) - Number(a.id));
  }
}
