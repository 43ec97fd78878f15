// An admin's pages: figures, people, courses, import, the audit log.

import { $, api, button, element, field, form, panel, path, say, table, when } from "/ui.js";

const FIGURES = { students: "Students", faculty: "Faculty", admins: "Admins", disabled: "Disabled",
  courses: "Courses", enrolments: "Enrolments", sessions_today: "Sessions today",
  marked_today: "Marks today", check_ins_open: "Check-ins open", below_75: "Students below 75\u00a0%" };
const ROLES = ["student", "faculty", "admin"];
const PAGE = 50;

const input = (name, attributes) =>
  element("input", { name, required: true, autocomplete: "off", ...attributes });

function roleSelect(name, selected, attributes) {
  return element("select", { name, ...attributes }, ...ROLES.map((role) =>
    element("option", { value: role, selected: role === selected }, role)));
}

export async function dashboard(show) {
  const figures = await api("GET", "/dashboard");
  show("Dashboard", element("h1", null, "Dashboard"), element("dl", { class: "figures" },
    ...Object.entries(FIGURES).map(([name, label]) => element("div", null,
      element("dt", null, label), element("dd", null, String(figures[name]))))));
}

// --- people ------------------------------------------------------------------------------------

function tellPassword(person) {
  $("message").replaceChildren(`The password of ${person.account}, shown this once: `,
    element("span", { class: "secret" }, person.password));
}

function personRow(user, redraw) {
  const change = async (body) => {
    await api("PATCH", path("users", user.account), body);
    await redraw();
    say(`${user.account} was changed.`);
  };
  const role = roleSelect("role", user.role, { "aria-label": `Role of ${user.name}` });
  role.addEventListener("change", () => change({ role: role.value }).catch((error) => {
    role.value = user.role;
    say(error.message);
  }));
  return [user.account, user.name, role, user.disabled ? "disabled" : "active",
    element("div", { class: "row" },
      button(user.disabled ? "Enable" : "Disable", () => change({ disabled: !user.disabled }),
        { class: "second", "aria-label": `${user.disabled ? "Enable" : "Disable"} ${user.name}` }),
      button("New password", async () =>
        tellPassword(await api("POST", path("users", user.account, "password-reset"))),
        { class: "second", "aria-label": `New password for ${user.name}` }))];
}

export async function people(show, search = "", after = "") {
  const query = new URLSearchParams({ limit: PAGE });
  const target = `/users?${query}&search=${encodeURIComponent(search)}`
    + (after ? `&after=${encodeURIComponent(after)}` : "");
  const { users } = await api("GET", target);
  const redraw = () => people(show, search, after);
  const more = users.length === PAGE
    ? button("Next page", () => people(show, search, users.at(-1).account), { class: "second" }) : null;
  show("People", element("h1", null, "People"),
    panel("New person", form(async (body, f) => {
      const person = await api("PUT", path("users", body.account), { name: body.name, role: body.role });
      f.reset();
      await people(show, person.account);
      tellPassword(person);
    }, field("Account", input("account", { maxlength: 64, pattern: "[A-Za-z0-9][A-Za-z0-9._\\-]*",
      title: "Letters, digits, . _ -" })), field("Name", input("name", { maxlength: 200 })),
    field("Role", roleSelect("role", "student")), element("button", null, "Create"))),
    panel(element("div", { class: "head" }, element("h2", null, "Everybody"),
      form(({ search: text }) => people(show, text),
        field("Account or name", input("search", { value: search, required: false, type: "search" })),
        element("button", { class: "second" }, "Search"))),
      table(["Account", "Name", "Role", "Standing", ""], users.map((u) => personRow(u, redraw))), more));
}

// --- courses -----------------------------------------------------------------------------------

export async function courses(show) {
  const list = (await api("GET", "/courses")).courses;
  const enrolment = (method, text) => async ({ course, student }) => {
    await api(method, path("courses", course, "students", student));
    await courses(show);
    say(`${student} is ${text} ${course}.`);
  };
  const who = () => [field("Course", input("course", { maxlength: 32 })),
    field("Student", input("student", { maxlength: 64 }))];
  show("Courses", element("h1", null, "Courses"),
    panel("All courses", table(["Code", "Title", "Teacher", "Students", "Sessions"], list.map((c) =>
      [c.course, c.title, c.teacher, String(c.students), String(c.sessions)]))),
    panel("Create or change a course", form(async ({ course, title, teacher }) => {
      await api("PUT", path("courses", course), { title, teacher });
      await courses(show);
      say(`${course} is stored.`);
    }, field("Code", input("course", { maxlength: 32 })), field("Title", input("title", { maxlength: 200 })),
    field("Teacher", input("teacher", { maxlength: 64 })), element("button", null, "Store"))),
    panel("Enrol a student", form(enrolment("PUT", "enrolled in"), ...who(),
      element("button", null, "Enrol"))),
    panel("End an enrolment", form(enrolment("DELETE", "no longer in"), ...who(),
      element("button", { class: "second" }, "End it"))));
}

// --- import ------------------------------------------------------------------------------------

export async function imports(show) {
  await api("GET", "/users?limit=1"); // who may not import is told so before choosing a file
  const outcome = element("div", { role: "status" });
  const file = element("input", { type: "file", name: "file", accept: ".csv,text/csv", required: true });
  show("Import", element("h1", null, "Import people"),
    panel("A CSV file", element("p", null, "The first line is ",
      element("kbd", null, "account,name,role,courses"),
      "; courses are codes with blanks between them. Either every line is imported, or none."),
    form(async ({ file: chosen }) => {
      outcome.replaceChildren();
      try {
        const done = await api("POST", "/imports", new Blob([await chosen.arrayBuffer()]));
        outcome.append(`${done.created} created, ${done.renamed} renamed, ${done.enrolled} enrolled.`);
      } catch (error) {
        if (!error.problem?.errors) throw error;
        outcome.append(element("p", { class: "error" }, `${error.message} (${error.problem.error_count})`),
          table(["Line", "What is wrong"], error.problem.errors.map((e) => [String(e.line), e.reason])));
      }
    }, field("File", file), element("button", null, "Import")), outcome));
}

// --- audit -------------------------------------------------------------------------------------

export async function audit(show, after = "") {
  const { lines } = await api("GET", `/audit?limit=${PAGE}` + (after ? `&after=${after}` : ""));
  show("Audit log", element("h1", null, "Audit log"), panel("Newest first",
    table(["When", "Who", "Did", "To", "Detail", "From"], lines.map((l) =>
      [when(l.at), l.by, l.action, l.subject, l.detail, l.address])),
    lines.length === PAGE
      ? button("Older lines", () => audit(show, lines.at(-1).id), { class: "second" }) : null));
}
