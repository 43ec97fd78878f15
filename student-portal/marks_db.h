/* Marks in the database. Every mark there ever is goes through marks_write, which advances the
 * student's generation in the mark's own transaction. Worker threads only. */
#pragma once
#include "attendance.h"
#include "audit.h"
#include "changes.h"

struct mark_entry {
    const char *student; /* account */
    enum mark mark;
    int64_t id; /* users.id; out of marks_set, 0: not enrolled in the session's course */
};
/* Inside a transaction. The students, in the order of their ids, are enrolled in the session's
 * course: the caller has looked. */
enum status marks_write(struct db_conn *c, int64_t session, const struct mark_entry *at, size_t n,
                        int64_t by, struct changes *changes);

/* Marks of one session, by its teacher. */
struct marks {
    int64_t session;
    struct mark_entry *at;
    size_t n;
    struct audit_actor by;
    struct changes changes; /* out: what to publish; the caller's to release */
};
/* All of them or none, in one transaction; `at` may come back in another order. NOT_FOUND when
 * one is not enrolled (all are looked up). */
enum status marks_set(struct db *db, struct marks *marks);
