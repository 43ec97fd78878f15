// Login, and which page stands at which address. The pages show what the API allows; every check
// is the server's.

import { $, api, attempt, element, field, form, panel, say, setCsrf } from "/ui.js";
import * as student from "/student.js";
import * as faculty from "/faculty.js";
import * as admin from "/admin.js";

// What stands behind "#/": by role; everything else is one address for all, and the API's to refuse.
const HOME = { student: student.attendance, faculty: faculty.courses, admin: admin.dashboard };
const NAV = {
  student: [["#/", "Attendance"]],
  faculty: [["#/", "Courses"]],
  admin: [["#/", "Dashboard"], ["#/people", "People"], ["#/all-courses", "Courses"],
    ["#/import", "Import"], ["#/audit", "Audit log"]],
};
const PAGES = [
  [/^#\/courses\/([^/]+)\/sessions\/([^/]+)\/wall$/, faculty.wall],
  [/^#\/courses\/([^/]+)\/sessions\/([^/]+)$/, faculty.mark],
  [/^#\/courses\/([^/]+)\/report$/, faculty.report],
  [/^#\/courses\/([^/]+)$/, faculty.course],
  [/^#\/dashboard$/, admin.dashboard],
  [/^#\/people$/, admin.people],
  [/^#\/all-courses$/, admin.courses],
  [/^#\/import$/, admin.imports],
  [/^#\/audit$/, admin.audit],
  [/^#\/password$/, password],
];

let me = null;

function show(title, ...nodes) {
  document.title = `${title} \u2013 Student Portal`;
  $("view").replaceChildren(...nodes.filter((n) => n != null));
}

function showNav() {
  const here = location.hash || "#/";
  $("nav").replaceChildren(...[...NAV[me.role], ["#/password", "Password"]].map(([href, text]) =>
    element("a", { href, "aria-current": here === href ? "page" : null }, text)));
}

function password(show) {
  const input = (attributes) =>
    element("input", { type: "password", maxlength: 256, required: true, ...attributes });
  show("Password", element("h1", null, "Password"), panel("Change your password", form(async (body, f) => {
    setCsrf((await api("POST", "/password", body)).csrf_token);
    f.reset();
    say("Your password was changed, and your other devices are logged out.");
  }, field("Old password", input({ name: "old", autocomplete: "current-password" })),
  field("New password", input({ name: "new", autocomplete: "new-password", minlength: 10 })),
  element("button", null, "Change"))));
}

async function route() {
  if (!me || location.hash === "#view") return;
  showNav();
  say("");
  const found = PAGES.map(([pattern, page]) => [pattern.exec(location.hash), page]).find(([m]) => m);
  const [page, args] = found ? [found[1], found[0].slice(1).map(decodeURIComponent)]
    : [HOME[me.role], []];
  $("view").setAttribute("aria-busy", "true");
  try {
    await page(show, ...args);
  } catch (error) {
    if (error.status === 401) return showLogin();
    const title = error.status === 403 ? "Not allowed" : "That did not work";
    show(title, element("h1", null, title), element("p", { class: "error", role: "alert" }, error.message));
  } finally {
    $("view").removeAttribute("aria-busy");
  }
  if (!$("view").contains(document.activeElement)) $("view").focus({ preventScroll: true });
}

function showLogin() {
  me = null;
  show("Log in");
  $("portal").hidden = true;
  $("login").hidden = false;
  $("account").focus();
}

async function enter(who) {
  me = who;
  setCsrf(me.csrf_token);
  $("login").hidden = true;
  $("portal").hidden = false;
  $("who").textContent = `${me.name} (${me.role})`;
  await route();
}

$("login-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const form = event.target;
  $("login-error").textContent = "";
  try {
    const { account, password } = Object.fromEntries(new FormData(form));
    await api("POST", "/login", { account, password });
    form.reset();
    await enter(await api("GET", "/me"));
  } catch (error) {
    $("login-error").textContent = error.message;
  }
});

$("logout").addEventListener("click", () => attempt(async () => {
  await api("POST", "/logout");
  showLogin();
}));

window.addEventListener("hashchange", route);

try {
  await enter(await api("GET", "/me"));
} catch (error) {
  showLogin();
  if (error.status !== 401) $("login-error").textContent = error.message;
}
