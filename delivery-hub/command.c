#include "command.h"
#include "log.h"
#include <string.h>

enum { SWEEP_BATCH = 500 };

/* Fill the reply from the record that is already there. */
static enum status replay(struct db_conn *c, struct command *cmd)
{
    struct db_rows *rows;
    enum status st = db_query(c,
                              "SELECT request, code, order_id, version, body FROM idempotency "
                              "WHERE caller = ? AND idem_key = ?",
                              SQL(SQL_TEXT(cmd->caller), SQL_TEXT(cmd->key)), &rows);
    if (st)
        return st;
    if (!db_next(rows)) {
        db_rows_free(rows);
        return STATUS_CONTENDED; /* swept since the insert met it */
    }
    size_t len;
    const char *request = db_text(rows, 0, &len);
    if (len != sizeof(cmd->request) || memcmp(request, cmd->request, len) != 0) {
        reply_refuse(&cmd->reply, STATUS_UNPROCESSABLE, "idempotency-key", NULL,
                     "this Idempotency-Key was used for another request");
    } else {
        cmd->reply.code = (int)db_i64(rows, 1);
        cmd->reply.order = db_i64(rows, 2);
        cmd->reply.version = db_i64(rows, 3);
        const char *body = db_text(rows, 4, &len);
        strbuf_add(&cmd->reply.body, body, len);
    }
    db_rows_free(rows);
    return STATUS_OK;
}

/* Insert the key's record, or make the reply from the one that is there (then reply.code is
 * set). */
static enum status claim(struct db_conn *c, struct command *cmd)
{
    enum status st = db_exec(c,
                             "INSERT INTO idempotency (caller, idem_key, request, code, order_id, "
                             "version, body, created_at) VALUES (?, ?, ?, 0, 0, 0, '', NOW(3))",
                             SQL(SQL_TEXT(cmd->caller), SQL_TEXT(cmd->key),
                                 SQL_BLOB(cmd->request, sizeof(cmd->request))),
                             NULL);
    if (st == STATUS_DUPLICATE)
        return replay(c, cmd);
    if (st == STATUS_CONTENDED && db_lock_timeout(c)) {
        reply_refuse(&cmd->reply, STATUS_CONFLICT, "in-flight", NULL,
                     "a request with this Idempotency-Key is still being worked on");
        cmd->reply.again = true;
        return STATUS_OK;
    }
    return st;
}

static enum status record(struct db_conn *c, const struct command *cmd)
{
    const struct reply *r = &cmd->reply;
    return db_exec(c,
                   "UPDATE idempotency SET code = ?, order_id = ?, version = ?, body = ? "
                   "WHERE caller = ? AND idem_key = ?",
                   SQL(SQL_I64(r->code), SQL_I64(r->order), SQL_I64(r->version),
                       SQL_TEXT(r->body.bytes), SQL_TEXT(cmd->caller), SQL_TEXT(cmd->key)),
                   NULL);
}

static enum status run(struct db_conn *c, void *ctx)
{
    struct command *cmd = ctx;
    cmd->reply.code = 0;
    strbuf_reset(&cmd->reply.body);
    if (!cmd->key)
        return cmd->work(c, cmd);

    enum status st = claim(c, cmd);
    if (st || cmd->reply.code)
        return st;
    st = cmd->work(c, cmd);
    return st ? st : record(c, cmd);
}

enum status command_run(struct db *db, struct command *cmd)
{
    return db_transaction(db, run, cmd);
}

bool command_key_valid(const char *key)
{
    size_t len = strlen(key);
    for (size_t i = 0; i < len; i++) {
        if (key[i] <= ' ' || key[i] > '~')
            return false;
    }
    return len >= 1 && len <= IDEMPOTENCY_KEY_MAX;
}

bool command_sweep(void *db)
{
    struct db_conn *c;
    uint64_t swept = 0;
    if (db_acquire(db, &c))
        return false;
    enum status st = db_exec(c,
                             "DELETE FROM idempotency WHERE created_at < NOW(3) - INTERVAL ? HOUR "
                             "ORDER BY created_at LIMIT ?",
                             SQL(SQL_I64(IDEMPOTENCY_HOURS), SQL_I64(SWEEP_BATCH)), &swept);
    db_release(c);
    return !st && swept == SWEEP_BATCH;
}
