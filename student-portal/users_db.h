/* Users in the database. Worker threads only. All return UNAVAILABLE when it is down and
 * OVERLOADED when it is busy. */
#pragma once
#include "db.h"
#include "password.h"
#include "user.h"

/* NOT_FOUND when there is none. `hash` gets the stored password hash. */
enum status users_find(struct db *db, const char *account, struct user *out,
                       char hash[PASSWORD_HASH_SIZE]);
/* By primary key: what every request with a session asks. NOT_FOUND when there is none. */
enum status users_get(struct db *db, int64_t id, struct user *out);
/* Users behind `after` in the order of accounts, at most `limit`, to each(ctx, user). */
enum status users_list(struct db *db, const char *after, int64_t limit,
                       void (*each)(void *ctx, const struct user *user), void *ctx);

/* Change role or standing (`role` 0 and `disabled` -1 leave them), end every session from the next
 * request on, and read the outcome into *user. NOT_FOUND. */
enum status users_change(struct db *db, const char *account, roles role, int disabled,
                         struct user *user);
/* Replace the hash `from`, unless the password was changed meanwhile. */
enum status users_rehash(struct db *db, int64_t id, const char *from, const char *to);
