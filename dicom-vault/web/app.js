// Who is there, and which view is shown.

import { Refusal, call, useKey } from "./api.js";
import { $, attempt, say } from "./ui.js";
import * as audit from "./audit.js";
import * as files from "./files.js";
import * as studies from "./studies.js";
import * as uploads from "./uploads.js";
import * as viewer from "./viewer.js";

const VIEWS = { studies, files, audit };

function show(name) {
  say("");
  Object.keys(VIEWS).forEach((id) => { $(id).hidden = id !== name; });
  document.querySelectorAll("[data-view]").forEach((b) => {
    if (b.dataset.view === name) b.setAttribute("aria-current", "page");
    else b.removeAttribute("aria-current");
  });
  attempt(VIEWS[name].load);
}

const shown = () => Object.keys(VIEWS).find((name) => !$(name).hidden);

async function signIn(key) {
  $("login-error").textContent = "";
  useKey(key, () => signOut("That key is no good (any more)."));
  try {
    await call("/files?limit=1").catch((e) => {
      if (!(e instanceof Refusal && e.status === 403)) throw e; // a key that may only write
    });
  } catch (e) {
    $("login-error").textContent = e.message;
    return;
  }
  $("key").value = "";
  $("login").hidden = true;
  $("vault").hidden = false;
  show("studies");
}

function signOut(reason = "") {
  useKey(null, () => {});
  document.querySelectorAll("dialog[open]").forEach((d) => d.close());
  [studies, files, audit, uploads, viewer].forEach((part) => part.forget());
  $("vault").hidden = true;
  $("login").hidden = false;
  $("login-error").textContent = reason;
  $("key").value = "";
  $("key").focus();
}

document.querySelectorAll("[data-view]").forEach((b) => {
  b.addEventListener("click", () => show(b.dataset.view));
});
$("login-form").addEventListener("submit", (event) => {
  event.preventDefault();
  signIn($("key").value.trim());
});
$("sign-out").addEventListener("click", () => signOut());
uploads.whenStored(() => { if (shown() !== "audit") attempt(VIEWS[shown()].load); });
$("key").focus();
