/* The audit log: who did what to whom, when and from where. A line is written in the transaction
 * of what it tells of, so that there is neither without the other; lines are never changed. Worker
 * threads only. */
#pragma once
#include "db.h"
#include "http.h"
#include "json.h"

/* Who acts, and from where; the text lives as long as the request. */
struct audit_actor {
    int64_t id;
    const char *address;
};
struct audit_actor audit_actor(const struct http_request *req);

enum { AUDIT_DETAIL_MAX = 255 }; /* characters; what is longer is cut */

/* Append a line: `action` such as "user.create", `subject` such as "user:ana". */
enum status audit_add(struct db_conn *c, const struct audit_actor *who, const char *action,
                      const char *subject, const char *detail);
/* The lines before the line `after` (0: from the newest on), newest first, to `rows`. */
enum status audit_list(struct db *db, int64_t after, int64_t limit, json_t *rows);
