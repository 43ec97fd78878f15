/* Courses, who is enrolled, and the class sessions. Worker threads only. All return UNAVAILABLE
 * when the database is down and OVERLOADED when it is busy. Changes are written with their line of
 * the audit log and the generations of those whose page they change: `changes` gets what to
 * publish and is the caller's to release. */
#pragma once
#include "audit.h"
#include "changes.h"
#include "user.h"

enum { TITLE_MAX = 200 /* bytes */ };

/* Lists, appended to `rows` as objects of the API. `teacher` 0: of all teachers. */
enum status courses_list(struct db *db, int64_t teacher, json_t *rows);
enum status course_sessions(struct db *db, const char *course, json_t *rows);
/* People as `viewer` sees them (user_view.h). */
enum status course_students(struct db *db, const char *course, roles viewer, json_t *rows);
enum status session_roster(struct db *db, int64_t session, roles viewer, json_t *rows);

struct course_change {
    const char *code, *title, *teacher; /* account */
    struct audit_actor by;
    bool created; /* out */
    struct changes changes;
};
/* Create the course, or give it this title and teacher. UNPROCESSABLE: no such faculty. */
enum status course_put(struct db *db, struct course_change *change);

struct enrolment {
    const char *course, *student; /* code, account */
    struct audit_actor by;
    bool created; /* out */
    struct changes changes;
};
/* NOT_FOUND: no such course or person; CONFLICT: no student. Who is enrolled stays so. */
enum status enrolment_add(struct db *db, struct enrolment *e);
/* NOT_FOUND: not enrolled. The marks stay, and are back when the student is. */
enum status enrolment_remove(struct db *db, struct enrolment *e);

struct session_change {
    const char *course;
    int64_t starts_ms; /* Unix time */
    int64_t session;   /* in for session_remove, out for session_add */
    struct audit_actor by;
    bool created; /* out */
    struct changes changes;
};
/* One a course and moment: a second one is the first. NOT_FOUND. */
enum status session_add(struct db *db, struct session_change *change);
/* NOT_FOUND; CONFLICT: there are marks. */
enum status session_remove(struct db *db, struct session_change *change);
