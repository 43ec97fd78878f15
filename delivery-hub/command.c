#include "command.h"
#include "clock.h"
#include "log.h"
#include "orders_db.h"
#include "secret.h"
#include <string.h>
#include <time.h>

enum { SWEEP_BATCH = 500, RERUN_EVERY_MS = 50 };

/* A blank comes first, which no client's key can have. */
static void choose_key(struct command *cmd)
{
    cmd->own_key[0] = ' ';
    random_hex(cmd->own_key + 1, 16);
}

static const char *key_of(const struct command *cmd)
{
    return cmd->key ? cmd->key : cmd->own_key;
}

/* Fill the reply from the record that is already there. */
static enum status replay(struct db_conn *c, struct command *cmd)
{
    struct db_rows *rows;
    enum status st = db_query(c,
                              "SELECT request, code, order_id, version, body FROM idempotency "
                              "WHERE caller = ? AND idem_key = ?",
                              SQL(SQL_TEXT(cmd->caller), SQL_TEXT(key_of(cmd))), &rows);
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
        cmd->replayed = true;
    }
    db_rows_free(rows);
    return barrier_pass(c); /* acknowledged by us, perhaps before its own commit is on disk */
}

static enum status insert(struct db_conn *c, const struct command *cmd)
{
    const struct reply *r = &cmd->reply;
    return db_exec(c,
                   "INSERT INTO idempotency (caller, idem_key, request, code, order_id, version, "
                   "body, created_at) VALUES (?, ?, ?, ?, ?, ?, ?, NOW(3))",
                   SQL(SQL_TEXT(cmd->caller), SQL_TEXT(key_of(cmd)),
                       SQL_BLOB(cmd->request, sizeof(cmd->request)), SQL_I64(r->code),
                       SQL_I64(r->order), SQL_I64(r->version), SQL_TEXT(strbuf_cstr(&r->body))),
                   NULL);
}

/* Insert the key's record, still empty, or make the reply from the one that is there (then
 * reply.code is set). */
static enum status claim(struct db_conn *c, struct command *cmd)
{
    enum status st = insert(c, cmd);
    if (st == STATUS_DUPLICATE)
        return replay(c, cmd);
    if (st != STATUS_CONTENDED || !db_lock_timeout(c))
        return st;
    if (cmd->unsure)
        return STATUS_OVERLOADED; /* our own first transaction is still open */
    reply_refuse(&cmd->reply, STATUS_CONFLICT, "in-flight", NULL,
                 "a request with this Idempotency-Key is still being worked on");
    cmd->reply.again = true;
    return STATUS_OK;
}

static enum status complete(struct db_conn *c, struct command *cmd)
{
    struct reply *r = &cmd->reply;
    return db_exec(c,
                   "UPDATE idempotency SET code = ?, order_id = ?, version = ?, body = ? "
                   "WHERE caller = ? AND idem_key = ?",
                   SQL(SQL_I64(r->code), SQL_I64(r->order), SQL_I64(r->version),
                       SQL_TEXT(reply_text(r)), SQL_TEXT(cmd->caller), SQL_TEXT(key_of(cmd))),
                   NULL);
}

static enum status run(struct db_conn *c, void *ctx)
{
    struct command *cmd = ctx;
    bool claimed = cmd->key || cmd->unsure;
    enum status st = STATUS_OK;
    cmd->replayed = false;
    reply_nothing(&cmd->reply);
    cmd->reply.code = 0;
    if (claimed)
        st = claim(c, cmd);
    if (st || cmd->reply.code)
        return st;
    st = cmd->work(c, cmd);
    if (st)
        return st;
    if (claimed)
        return complete(c, cmd);
    return reply_changed(&cmd->reply) ? insert(c, cmd) : STATUS_OK;
}

/* The answer to COMMIT was lost: run it again until the database tells what became of it. */
static enum status run_again(struct db *db, struct command *cmd)
{
    int64_t deadline = clock_mono_ms() + COMMAND_RERUN_MS;
    enum status st = STATUS_OUTCOME_UNKNOWN;
    cmd->unsure = true;
    while (st == STATUS_OUTCOME_UNKNOWN && clock_mono_ms() < deadline) {
        nanosleep(&(struct timespec){0, RERUN_EVERY_MS * 1000000L}, NULL);
        st = db_transaction(db, run, cmd);
        if (st == STATUS_UNAVAILABLE || st == STATUS_OVERLOADED)
            st = STATUS_OUTCOME_UNKNOWN;
    }
    log_warn("commit_unanswered", F("then", status_slug(st)), F("replayed", (int)cmd->replayed));
    return st;
}

enum status command_run(struct db *db, struct command *cmd)
{
    if (!cmd->key)
        choose_key(cmd);
    enum status st = db_transaction(db, run, cmd);
    return st == STATUS_OUTCOME_UNKNOWN ? run_again(db, cmd) : st;
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
