/* Marks in the database. Every mark there ever is goes through mark_write, which advances the
 * student's generation in the mark's own transaction. Worker threads only. */
#pragma once
#include "attendance.h"
#include "audit.h"
#include "changes.h"

/* Inside a transaction. The student is enrolled in the session's course: the caller has looked. */
enum status mark_write(struct db_conn *c, int64_t session, int64_t student, enum mark mark,
                       int64_t by, struct changes *changes);

/* Marks of one session, by its teacher. */
struct marks {
    int64_t session;
    struct mark_entry {
        const char *student; /* account */
        enum mark mark;
        int64_t id; /* out: users.id; 0: not enrolled in the session's course */
    } * at;
    size_t n;
    struct audit_actor by;
    struct changes changes; /* out: what to publish; the caller's to release */
};
/* All of them or none, in one transaction; `at` may come back in another order. NOT_FOUND when
 * one is not enrolled (all are looked up). */
enum status marks_set(struct db *db, struct marks *marks);
