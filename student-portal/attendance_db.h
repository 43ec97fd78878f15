/* Students' pages in the database. Worker threads only. All return
 * UNAVAILABLE when it is down and OVERLOADED when it is busy. Texts in a row live during each(). */
#pragma once
#include "attendance.h"
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
/* Students behind `after`, by id, who have a class within so many minutes: USERS_MAX at most. */
enum status students_soon(struct db *db, int64_t minutes, int64_t after, int64_t ids[USERS_MAX],
                          size_t *n);
