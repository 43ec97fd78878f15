// A student's attendance by course, with a calendar, and the check-in.

import { MARKS, api, attempt, element, field, form, panel, path, say, when } from "/ui.js";

const monthName = (date) => date.toLocaleDateString([], { month: "long", year: "numeric" });
const dayName = (i) => new Date(2024, 0, 1 + i).toLocaleDateString([], { weekday: "narrow" });

function dayCell(date, sessions) {
  if (!sessions) return element("td", null, String(date.getDate()));
  const marks = sessions.map((s) => s.mark ?? "not marked");
  const only = marks.every((m) => m === marks[0]) ? sessions[0].mark : null;
  const text = element("span", { class: `mark-${only ?? "none"}`,
    title: sessions.map((s) => `${when(s.starts_at)}: ${s.mark ?? "not marked"}`).join("\n") },
    String(date.getDate()));
  return element("td", null, text, element("span", { class: "only-read" }, `: ${marks.join(", ")}`));
}

// One month as a table of weeks that begin on Monday.
function monthTable(first, byDay) {
  const rows = [];
  const day = new Date(first);
  let row = Array((day.getDay() + 6) % 7).fill(0).map(() => element("td"));
  for (; day.getMonth() === first.getMonth(); day.setDate(day.getDate() + 1)) {
    row.push(dayCell(day, byDay.get(day.toDateString())));
    if (row.length === 7) rows.push(row.splice(0));
  }
  if (row.length) rows.push(row);
  const heads = Array.from({ length: 7 }, (_, i) => element("th", { scope: "col" }, dayName(i)));
  return element("table", { class: "month" }, element("caption", null, monthName(first)),
    element("thead", null, element("tr", null, ...heads)),
    element("tbody", null, ...rows.map((cells) => element("tr", null, ...cells))));
}

function calendar(sessions) {
  const byDay = new Map(), months = new Map();
  for (const s of sessions) {
    const date = new Date(s.starts_at);
    byDay.set(date.toDateString(), [...(byDay.get(date.toDateString()) ?? []), s]);
    const first = new Date(date.getFullYear(), date.getMonth(), 1);
    months.set(first.getTime(), first);
  }
  return element("div", { class: "months" },
    ...[...months.values()].map((first) => monthTable(first, byDay)));
}

function legend(totals) {
  return element("p", { class: "legend" },
    ...MARKS.map((m) => element("span", { class: `mark-${m}` }, `${totals[m]} ${m}`)),
    element("span", { class: "faint" }, `${totals.unmarked} not marked`));
}

function coursePanel(c) {
  const share = c.percentage == null
    ? element("p", { class: "faint" }, "No marks yet")
    : element("p", null, element("span", { class: "share" }, `${c.percentage} %`),
        c.below_75 ? element("span", { class: "flag" }, " below 75 %") : " attended");
  const bar = c.percentage == null ? null : element("meter", { min: 0, max: 100, low: 75, optimum: 100,
    value: c.percentage, "aria-label": `Attendance in ${c.title}` });
  return panel(element("div", { class: "head" }, element("h2", null, c.title),
    element("span", { class: "faint" }, c.course)), share, bar, legend(c.totals), calendar(c.sessions));
}

function offerPanel(offer, done) {
  const code = element("input", { name: "code", class: "code-input", inputmode: "numeric",
    autocomplete: "one-time-code", pattern: "[0-9]{6}", maxlength: 6, required: true,
    title: "Six digits" });
  return panel(`Check in: ${offer.title}`,
    form(async ({ code: digits }) => {
      const { mark } = await api("POST", path("sessions", offer.session, "check-in"), { code: digits });
      await done();
      say(`Checked in: ${mark}.`);
    }, field("Code on the wall", code), element("button", null, "Check in")));
}

export async function attendance(show) {
  const again = () => attempt(() => attendance(show));
  const [{ courses }, { sessions }] = await Promise.all(
    [api("GET", "/me/attendance"), api("GET", "/me/check-ins")]);
  show("Attendance", element("h1", null, "Attendance"), ...sessions.map((s) => offerPanel(s, again)),
    ...courses.map(coursePanel),
    courses.length ? null : element("p", null, "You are not enrolled in a course."));
}
