// Who is there, and which of the three views is theirs.

import { demoToken, listen, persist, useToken } from "./api.js";
import { $, button, say } from "./ui.js";
import * as board from "./board.js";
import * as customer from "./customer.js";
import * as partner from "./partner.js";

const ACCOUNTS = { dora: "dispatcher", carla: "customer", p1: "partner", p2: "partner" };
const VIEWS = { dispatcher: board, partner, customer };
const SHOWN_AS = { dispatcher: "board", partner: "partner", customer: "customer" };

let stop = () => {};
let ticking = null;
let loading = 0; // the latest load: a later one, or signing out, ends it

async function signIn(account) {
  $("login-error").textContent = "";
  try {
    const token = await demoToken(account);
    if (token) {
      enter(token);
      return;
    }
    $("accounts").hidden = true;
    $("token-form").hidden = false;
    $("token").focus();
  } catch (e) {
    $("login-error").textContent = e.message;
  }
}

// What the token says of itself; the server checks it.
function claims(token) {
  try {
    const part = token.split(".")[1].replaceAll("-", "+").replaceAll("_", "/");
    return JSON.parse(atob(part));
  } catch {
    return {};
  }
}

async function load(view, sub) {
  const mine = ++loading;
  await persist(() => view.load(sub), () => mine === loading, () => setState("off"));
  if (mine === loading) setState("on");
}

function enter(token) {
  const { sub, role } = claims(token);
  const view = VIEWS[role];
  if (!view) {
    $("login-error").textContent = "That is no token of this service.";
    return;
  }
  sessionStorage.setItem("hub", token);
  useToken(token);
  $("login").hidden = true;
  $("hub").hidden = false;
  Object.values(SHOWN_AS).forEach((id) => { $(id).hidden = id !== SHOWN_AS[role]; });
  $("who").textContent = `${sub}, ${role}`;
  say("");
  setState("off");
  stop = listen((kind, order) => {
    if (kind === "reset") load(view, sub);
    else view.hear(kind, order);
  }, setState);
  ticking = setInterval(view.tick, 1000);
}

function setState(state) {
  if (state === "refused") {
    signOut("Please sign in again.");
    return;
  }
  $("status").textContent = state === "on" ? "Live" : "Connecting …";
  $("status").classList.toggle("away", state !== "on");
}

function signOut(reason = "") {
  loading += 1;
  stop();
  clearInterval(ticking);
  sessionStorage.removeItem("hub");
  if ($("history").open) $("history").close();
  $("hub").hidden = true;
  $("login").hidden = false;
  $("login-error").textContent = reason;
}

$("account-buttons").append(...Object.entries(ACCOUNTS).map(([name, role]) => {
  const b = button(`${name}, ${role}`, "", () => signIn(name));
  b.dataset.account = name;
  return b;
}));
$("token-form").addEventListener("submit", (event) => {
  event.preventDefault();
  enter($("token").value.trim());
});
$("sign-out").addEventListener("click", () => signOut());

const kept = sessionStorage.getItem("hub");
if (kept) enter(kept);
