// The page shows what the API allows; every check is the server's.

const $ = (id) => document.getElementById(id);
let csrf = "";

// A problem's detail becomes the message of the error.
async function api(method, path, body) {
  const headers = {};
  if (method !== "GET") headers["X-CSRF-Token"] = csrf;
  if (body) headers["Content-Type"] = "application/json";
  const reply = await fetch(path, { method, headers, body: body && JSON.stringify(body) });
  const json = reply.status === 204 ? null : await reply.json();
  if (!reply.ok)
    throw Object.assign(new Error(json.detail ?? json.title), { status: reply.status });
  return json;
}

function say(text) {
  $("message").textContent = text;
}

// Texts are set as text, never as HTML.
function element(tag, text, ...children) {
  const e = document.createElement(tag);
  if (text != null) e.textContent = text;
  e.append(...children);
  return e;
}

function table(heads, rows) {
  const cells = (tag, row) =>
    element("tr", null, ...row.map((c) => (c instanceof Node ? element(tag, null, c) : element(tag, c))));
  const head = element("thead", null, cells("th", heads));
  const body = element("tbody", null, ...rows.map((row) => cells("td", row)));
  const scroll = element("div", null, element("table", null, head, body));
  scroll.className = "scroll";
  return scroll;
}

const day = (time) => new Date(time).toLocaleString([], { dateStyle: "medium", timeStyle: "short" });

async function studentPage() {
  const { courses } = await api("GET", "/me/attendance");
  return courses.flatMap((c) => {
    const share = element("p", c.percentage == null ? "No marks yet" : `${c.percentage} % attended`);
    if (c.below_75) {
      share.className = "below";
      share.append(": below 75 %");
    }
    return [
      element("h2", `${c.title} (${c.course})`),
      share,
      table(["Session", "Mark"], c.sessions.map((s) => [day(s.starts_at), s.mark ?? "not marked"])),
    ];
  });
}

function button(text, action) {
  const b = element("button", text);
  b.type = "button";
  b.addEventListener("click", () => run(action));
  return b;
}

function markSelect(session, student) {
  const select = element("select");
  for (const mark of ["", "present", "late", "absent", "excused"])
    select.append(new Option(mark || "not marked", mark, false, mark === (student.mark ?? "")));
  select.options[0].disabled = true;
  select.setAttribute("aria-label", `Mark of ${student.name}`);
  select.addEventListener("change", () =>
    run(async () => {
      const path = `/sessions/${session}/attendance/${encodeURIComponent(student.student)}`;
      await api("PUT", path, { mark: select.value });
      say(`${student.name}: ${select.value}`);
    }));
  return select;
}

async function classPage(course, session) {
  const { students } = await api("GET", `/sessions/${session.session}/attendance`);
  show([
    element("h2", `${course.title}, ${day(session.starts_at)}`),
    button("Back to the sessions", () => coursePage(course)),
    table(["Student", "Mark"], students.map((s) => [s.name, markSelect(session.session, s)])),
  ]);
}

async function coursePage(course) {
  const { sessions } = await api("GET", `/courses/${encodeURIComponent(course.course)}/sessions`);
  show([
    element("h2", course.title),
    table(["Session", "Marked", ""], sessions.map((s) =>
      [day(s.starts_at), String(s.marked), button("Open", () => classPage(course, s))])),
  ]);
}

async function facultyPage() {
  const { courses } = await api("GET", "/courses");
  return [table(["Course", "Students", "Sessions", ""], courses.map((c) =>
    [c.title, String(c.students), String(c.sessions), button("Open", () => coursePage(c))]))];
}

async function adminPage() {
  const { users } = await api("GET", "/users?limit=200");
  return [table(["Account", "Name", "Role", "Standing"], users.map((u) =>
    [u.account, u.name, u.role, u.disabled ? "disabled" : "active"]))];
}

const pages = { student: studentPage, faculty: facultyPage, admin: adminPage };

function show(nodes) {
  $("content").replaceChildren(...nodes);
}

function showLogin() {
  show([]);
  $("who").hidden = true;
  $("login").hidden = false;
}

async function showHome(me) {
  csrf = me.csrf_token;
  $("login").hidden = true;
  $("who").hidden = false;
  $("name").textContent = `${me.name} (${me.role})`;
  show(await pages[me.role]());
}

async function run(action) {
  say("");
  try {
    await action();
  } catch (error) {
    if (error.status === 401) showLogin();
    say(error.message);
  }
}

$("login").addEventListener("submit", (event) => {
  event.preventDefault();
  const { account, password } = Object.fromEntries(new FormData(event.target));
  run(async () => {
    const me = await api("POST", "/login", { account, password });
    event.target.reset();
    await showHome(me);
  });
});

$("logout").addEventListener("click", () =>
  run(async () => {
    await api("POST", "/logout");
    showLogin();
  }));

try {
  await showHome(await api("GET", "/me"));
} catch (error) {
  showLogin();
  if (error.status !== 401) say(error.message);
}
