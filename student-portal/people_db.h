/* People, as an admin looks after them. Every change is one transaction with its line of the audit
 * log. `user` gets account, name, role and standing; `changes`, the caller's to release, what to
 * publish. Worker threads only. All return UNAVAILABLE when the database is down and OVERLOADED
 * when it is busy. */
#pragma once
#include "audit.h"
#include "changes.h"
#include "user.h"

struct people_query {
    const char *after;  /* account, "" for the first page */
    const char *search; /* the beginning of an account or any part of a name; "" for all */
    int64_t limit;
};
/* In the order of accounts, to each(ctx, user). */
enum status people_list(struct db *db, const struct people_query *query,
                        void (*each)(void *ctx, const struct user *user), void *ctx);
/* NOT_FOUND. */
enum status people_find(struct db *db, const char *account, struct user *user);

struct person_change {
    const char *account;
    const char *name;     /* NULL leaves it */
    roles role;           /* 0 leaves it */
    int disabled;         /* -1 leaves it */
    const char *password; /* stored form; NULL leaves it */
    int64_t session_gen;  /* what theirs must still be; 0: whatever */
    struct audit_actor by;
    struct user user;       /* out */
    struct changes changes; /* out */
};
/* All members but `disabled` are given. CONFLICT: the account is taken. */
enum status person_create(struct db *db, struct person_change *change);
/* NOT_FOUND, also when their session_gen has moved on; CONFLICT: a teacher of courses cannot stop
 * being one. Ends their sessions when role, standing or password change. */
enum status person_change(struct db *db, struct person_change *change);
