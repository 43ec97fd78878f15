/* Courses, class sessions and attendance in the database. Worker threads only. All return
 * UNAVAILABLE when it is down and OVERLOADED when it is busy. Texts in a row live during each(). */
#pragma once
#include "attendance.h"
#include "db.h"
#include "json.h"

/* One class session as one student sees it. */
struct attendance_row {
    const char *course, *title; /* NULL: enrolled nowhere */
    int64_t session;            /* 0: the course has none yet */
    const char *starts_at;      /* RFC 3339 */
    enum mark mark;
};
/* The rows of a student in the order of course and time, at least one; `course` NULL: of all
 * courses. *gen is the generation in the same snapshot. NOT_FOUND: no such student, or not
 * enrolled in `course`. */
enum status attendance_of_student(struct db *db, int64_t student, const char *course,
                                  void (*each)(void *ctx, const struct attendance_row *row),
                                  void *ctx, int64_t *gen);

/* Mark one student in one session. In one transaction: the student's generation is advanced, which
 * also makes marks of one student follow each other, and the row written. NOT_FOUND: that student
 * is not enrolled in the session's course. */
struct attendance_mark {
    int64_t session;
    const char *student; /* account */
    enum mark mark;
    int64_t by;
    int64_t student_id, gen; /* out: what to invalidate */
};
enum status attendance_set(struct db *db, struct attendance_mark *mark);

/* The lists of teachers: appended to `rows` as objects of the API. */
enum status courses_of_teacher(struct db *db, int64_t teacher, json_t *rows);
enum status sessions_of_course(struct db *db, const char *course, json_t *rows);
enum status attendance_roster(struct db *db, int64_t session, json_t *rows);

/* Does `teacher` teach it? NOT_FOUND for another's and for a missing one alike: to the outside
 * they are the same. */
enum status course_taught_by(struct db *db, const char *course, int64_t teacher);
enum status session_taught_by(struct db *db, int64_t session, int64_t teacher);
