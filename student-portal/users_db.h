/* Users in the database. Worker threads only. All return UNAVAILABLE when it is down and
 * OVERLOADED when it is busy. */
#pragma once
#include "changes.h"
#include "password.h"
#include "user.h"

/* NOT_FOUND when there is none. `hash` gets the stored password hash. */
enum status users_find(struct db *db, const char *account, struct user *out,
                       char hash[PASSWORD_HASH_SIZE]);
/* By primary key: what every request with a session asks. NOT_FOUND when there is none. */
enum status users_get(struct db *db, int64_t id, struct user *out);
/* Those of the ids (at most USERS_MAX) that there are, by one query, to each(ctx, user). */
enum { USERS_MAX = 64 };
#define USERS_MARKS8 "?,?,?,?,?,?,?,?"
#define USERS_MARKS32 USERS_MARKS8 "," USERS_MARKS8 "," USERS_MARKS8 "," USERS_MARKS8
#define USERS_MARKS USERS_MARKS32 "," USERS_MARKS32 /* USERS_MAX of them */
enum status users_get_many(struct db *db, const int64_t *ids, size_t n,
                           void (*each)(void *ctx, const struct user *user), void *ctx);
/* For a query that joins them: the columns of table alias `t` ("u.", or ""), and the user they
 * make, from column `i` on. */
#define USERS_COLUMNS(t)                                                                           \
    t "id, " t "account, " t "name, " t "role, " t "disabled, " t "session_gen, " t "attendance_"  \
      "gen"
void users_read(const struct db_rows *rows, unsigned i, struct user *out);

/* End every session of a user from the next request on. */
enum status users_end_sessions(struct db *db, int64_t id, struct changes *changes);
/* Replace the hash `from`, unless the password was changed meanwhile. */
enum status users_rehash(struct db *db, int64_t id, const char *from, const char *to);
