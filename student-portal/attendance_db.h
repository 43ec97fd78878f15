/* Courses, class sessions and attendance in the database. Worker threads only. All return
 * UNAVAILABLE when it is down and OVERLOADED when it is busy. Texts in a row live during each(). */
#pragma once
#include "attendance.h"
#include "changes.h"
#include "json.h"
#include "users_db.h"

/* Class sessions, each course's together; in the order of code, time and id. */
struct timetable {
    struct class_session {
        int64_t course_id, id;                  /* id 0: the course has none yet */
        const char *course, *title, *starts_at; /* RFC 3339 */
    } * at;
    size_t n;
};
/* What one student's page shows; all of it lives during the call it is given to. */
struct attendance_page {
    struct user user;
    const char *courses;               /* ids of those enrolled in, "1,5", or NULL */
    const char *marks;                 /* "<session> <enum mark>,...", or NULL */
    const struct timetable *timetable; /* of these courses, and perhaps others */
};
/* The pages of those of `n` students (at most USERS_MAX) that there are, by one query and so in
 * one snapshot, to each(ctx, page). */
enum status attendance_load(struct db *db, const int64_t *students, size_t n,
                            void (*each)(void *ctx, const struct attendance_page *page), void *ctx);

/* Mark one student in one session, and note the change, in one transaction. NOT_FOUND: that student
 * is not enrolled in the session's course. */
struct attendance_mark {
    int64_t session;
    const char *student; /* account */
    enum mark mark;
    int64_t by;
    struct changes changes; /* out: what to publish; the caller's to release */
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
