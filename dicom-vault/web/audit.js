// The audit log, the newest entry first.

import { getJson } from "./api.js";
import { $, attempt, element, row, when } from "./ui.js";

const PAGE = 100;

let next = null;

export function forget() {
  $("audit-list").replaceChildren();
}

function line(e) {
  if (e.damaged) {
    const tr = row(String(e.seq), "", "", "", "", "", "damaged");
    tr.className = "refused";
    return tr;
  }
  const time = element("time", "", when(e.at));
  time.dateTime = e.at;
  const tr = row(String(e.seq), time, e.key ? element("code", "", e.key) : "–", e.source, e.action,
    e.object ? element("code", "", e.object) : "–", e.outcome);
  tr.className = e.outcome === "ok" ? "" : "refused";
  return tr;
}

async function page(after) {
  const reply = await getJson(`/audit?limit=${PAGE}${after ? `&after=${after}` : ""}`);
  if (!after) $("audit-list").replaceChildren();
  $("audit-list").append(...reply.entries.map(line));
  next = reply.next;
  $("audit-more").hidden = !next;
}

export const load = () => page(null);

$("audit-refused").addEventListener("change", () => {
  $("audit-list").classList.toggle("only-refused", $("audit-refused").checked);
});
$("audit-again").addEventListener("click", () => attempt(load));
$("audit-more").addEventListener("click", () => attempt(() => page(next)));
