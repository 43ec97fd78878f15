#include "audit.h"
#include "auth.h"
#include "rows.h"
#include <stdio.h>

struct audit_actor audit_actor(const struct http_request *req)
{
    return (struct audit_actor){caller(req)->id, http_client_ip(req)};
}

enum status audit_add(struct db_conn *c, const struct audit_actor *who, const char *action,
                      const char *subject, const char *detail)
{
    return db_exec(c,
                   "INSERT INTO audit_log (at, actor_id, action, subject, detail, address)"
                   " VALUES (NOW(3), ?, ?, ?, LEFT(?, 255), ?)",
                   SQL(SQL_I64(who->id), SQL_TEXT(action), SQL_TEXT(subject), SQL_TEXT(detail),
                       SQL_TEXT(who->address)),
                   NULL);
}

static void add_line(const struct db_rows *rows, void *ctx)
{
    json_array_append_new(
        ctx, json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:s}", "id", db_text(rows, 0, NULL), "at",
                       db_text(rows, 1, NULL), "by", db_text(rows, 2, NULL), "action",
                       db_text(rows, 3, NULL), "subject", db_text(rows, 4, NULL), "detail",
                       db_text(rows, 5, NULL), "address", db_text(rows, 6, NULL)));
}

enum status audit_list(struct db *db, int64_t after, int64_t limit, json_t *rows)
{
    return sql_walk(
        db,
        "SELECT l.id, " SQL_RFC3339_MS(
            "l.at") ", u.account, l.action, l.subject,"
                    " l.detail, l.address FROM audit_log l JOIN users u ON u.id = l.actor_id"
                    " WHERE l.id < ? ORDER BY l.id DESC LIMIT ?",
        SQL(SQL_I64(after ? after : INT64_MAX), SQL_I64(limit)), add_line, rows);
}
