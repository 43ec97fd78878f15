// A teacher's courses: sessions, marking by keyboard, the check-in code on the wall, the report.

import { MARKS, api, attempt, button, element, field, form, link, panel, path, say, table, when }
  from "/ui.js";

const KEYS = { p: "present", l: "late", a: "absent", e: "excused" };
const at = (...parts) => "#" + path(...parts);

export async function courses(show) {
  const list = (await api("GET", "/courses")).courses;
  show("Courses", element("h1", null, "Courses"), panel("Yours", table(
    ["Course", "Code", "Students", "Sessions"],
    list.map((c) => [link(c.title, at("courses", c.course)), c.course, String(c.students),
      String(c.sessions)]))));
}

export async function course(show, code) {
  const { sessions } = await api("GET", path("courses", code, "sessions"));
  const start = element("input", { type: "datetime-local", name: "start", required: true });
  show(code,
    element("div", { class: "head" }, element("h1", null, code), element("div", { class: "row" },
      link("Report", at("courses", code, "report"), { class: "button second" }),
      link("Download CSV", path("courses", code, "report.csv"),
        { class: "button second", download: "" }))),
    panel("Sessions", table(["Starts", "Marked", ""], sessions.toReversed().map((s) =>
      [link(when(s.starts_at), at("courses", code, "sessions", s.session)), String(s.marked),
        link(s.check_in_open ? "Check-in is open" : "Check-in",
          at("courses", code, "sessions", s.session, "wall"))]))),
    panel("New session", form(async ({ start: local }) => {
      await api("POST", path("courses", code, "sessions"),
        { starts_at: new Date(local).toISOString() });
      await course(show, code);
    }, field("Starts at", start), element("button", null, "Add"))));
}

export async function report(show, code) {
  const { students } = await api("GET", path("courses", code, "report"));
  show(`Report of ${code}`,
    element("div", { class: "head" }, element("h1", null, `Report of ${code}`),
      link("Download CSV", path("courses", code, "report.csv"), { class: "button", download: "" })),
    panel("Students", table(["Student", "Name", "Present", "Late", "Absent", "Excused", "Not marked",
      "Attended"], students.map(({ student, name, totals, percentage, below_75 }) =>
      [student, name, ...[...MARKS, "unmarked"].map((m) => String(totals[m])),
        percentage == null ? "" : element("span", { class: below_75 ? "flag" : null },
          `${percentage} %${below_75 ? ", below 75 %" : ""}`)]))));
}

// --- marking a class ---------------------------------------------------------------------------

function choice(student, set) {
  const buttons = MARKS.map((mark) => element("button", { type: "button", class: `mark-${mark}`,
    "aria-pressed": String(student.mark === mark), tabindex: -1, onclick: () => set(mark) }, mark));
  return element("div", { class: "choice", role: "group", "aria-label": `Mark of ${student.name}` },
    ...buttons);
}

function rosterRow(session, student, marked) {
  const row = element("tr", { tabindex: 0 });
  const draw = () => row.replaceChildren(element("th", { scope: "row" }, student.name,
    element("span", { class: "faint" }, ` ${student.student}`)), element("td", null, choice(student, set)));
  const set = (mark) => attempt(async () => {
    const before = student.mark;
    student.mark = mark;
    draw();
    try {
      await api("PUT", path("sessions", session, "attendance", student.student), { mark });
      marked(`${student.name}: ${mark}`);
    } catch (error) {
      student.mark = before;
      draw();
      throw error;
    }
  });
  row.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const mark = KEYS[event.key.toLowerCase()];
    if (mark) set(mark);
    const step = mark || event.key === "ArrowDown" ? "nextElementSibling"
      : event.key === "ArrowUp" ? "previousElementSibling" : null;
    if (!step) return;
    event.preventDefault();
    row[step]?.focus();
  });
  draw();
  return row;
}

export async function mark(show, code, session) {
  const { students } = await api("GET", path("sessions", session, "attendance"));
  const left = element("p", { class: "faint" });
  const count = () => {
    left.textContent = `${students.filter((s) => !s.mark).length} of ${students.length} not marked`;
  };
  const rows = students.map((s) => rosterRow(session, s, (text) => (count(), say(text))));
  const rest = button("Mark the rest present", async () => {
    const open = students.filter((s) => !s.mark).map((s) => [s.student, "present"]);
    if (!open.length) return say("Everybody is marked.");
    await api("PUT", path("sessions", session, "attendance"), { marks: Object.fromEntries(open) });
    await mark(show, code, session);
    say(`${open.length} marked present.`);
  });
  count();
  show(`Marks, ${code}`,
    element("div", { class: "head" }, element("h1", null, "Mark the class"),
      element("div", { class: "row" }, rest,
        link("Check-in", at("courses", code, "sessions", session, "wall"), { class: "button second" }),
        link("Back", at("courses", code), { class: "button second" }))),
    panel(element("div", { class: "head" }, element("h2", null, code), left),
      element("p", { class: "faint" }, "On a student's row: ", ...Object.entries(KEYS).flatMap(
        ([key, name]) => [element("kbd", null, key), ` ${name}  `]),
        element("kbd", null, "\u2191"), element("kbd", null, "\u2193"), " move"),
      element("div", { class: "scroll" }, element("table", { class: "roster" },
        element("caption", { class: "only-read" }, "Students and their marks"),
        element("tbody", null, ...rows)))));
  rows[0]?.focus();
}

// --- the wall ----------------------------------------------------------------------------------

export async function wall(show, code, session) {
  const target = path("sessions", session, "check-in");
  const number = element("output", { "aria-live": "off" });
  const bar = element("progress", { max: 30000, "aria-label": "Time left for this code" });
  const countdown = element("p", { class: "faint" });
  const arrived = element("p", { role: "status" });
  const toggle = button("", async () => {
    await api(state.open ? "DELETE" : "PUT", target, state.open ? undefined : {});
    await look();
  });
  let state = {}, shownAt = 0;

  const draw = () => {
    const left = Math.max(0, (state.code_ms ?? 0) - (performance.now() - shownAt));
    bar.value = left;
    countdown.textContent = state.open ? `New code in ${Math.ceil(left / 1000)} s` : "Check-in is closed";
    return left;
  };
  const look = async () => {
    state = await api("GET", target);
    shownAt = performance.now();
    number.textContent = state.open ? state.code : "\u2013";
    bar.hidden = !state.open;
    toggle.textContent = state.open ? "Close check-in" : "Open check-in";
    arrived.textContent = `${state.checked_in} checked in`;
    draw();
  };

  await look();
  show(`Check-in, ${code}`, element("section", { class: "panel wall" }, element("h1", null, code),
    number, bar, countdown, arrived, element("div", { class: "row" }, toggle,
      link("Marks", at("courses", code, "sessions", session), { class: "button second" }))));
  let looked = performance.now();
  const timer = setInterval(() => {
    if (!number.isConnected) return clearInterval(timer);
    const over = draw() === 0 && state.open;
    if (!over && performance.now() - looked < 3000) return;
    looked = performance.now();
    attempt(look);
  }, 250);
}
