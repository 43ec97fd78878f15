/* What a transaction does that changes a student's page, or whether they may see it:
 *
 *     changes_add(c, student, &changes)       in the transaction: the generation, and a pending row
 *     invalidation_publish(i, &changes)       after the commit, before the answer
 *
 * The pending row is there for a process that dies in between. `work` of a db_transaction may run
 * again: it calls changes_reset first. Worker threads only. */
#pragma once
#include "db.h"

struct changes {
    struct change {
        int64_t student, gen; /* the generation after the change */
    } * at;
    size_t n, size;
};
#define CHANGES_INIT                                                                               \
    {                                                                                              \
        NULL, 0, 0                                                                                 \
    }

void changes_reset(struct changes *list);
void changes_release(struct changes *list);

/* Advance the generation of a student (or anybody, by users.id); their row is then locked, so that
 * changes of one student follow each other. NOT_FOUND: no such user. */
enum status changes_add(struct db_conn *c, int64_t student, struct changes *out);
/* The same for many at once, by three statements however many they are; give them in the order of
 * their ids, so that two such transactions do not wait in a circle. */
enum status changes_add_many(struct db_conn *c, const int64_t *students, size_t n,
                             struct changes *out);
/* The same for everybody enrolled in a course, in the order of their ids. */
enum status changes_add_course(struct db_conn *c, int64_t course, struct changes *out);

/* Pending rows of at least that age, at most 1000; 0: all. */
enum status changes_pending(struct db *db, int64_t age_ms, struct changes *out);
/* They are where they should be: delete their rows. A row that is newer by now stays. */
enum status changes_done(struct db *db, const struct changes *list);
