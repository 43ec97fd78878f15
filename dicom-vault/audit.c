#include "audit.h"
#include "clock.h"
#include "index.h"
#include "secret.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct audit_by audit_by_command(char text[32])
{
    snprintf(text, 32, "uid %u", (unsigned)getuid());
    return (struct audit_by){"command", text};
}

/* --- the chain ------------------------------------------------------------------------------- */

static void add_number(struct strbuf *out, int64_t value)
{
    uint8_t bytes[8];
    put_be(bytes, (uint64_t)value, sizeof(bytes));
    strbuf_add(out, bytes, sizeof(bytes));
}

static void add_field(struct strbuf *out, const void *bytes, size_t len)
{
    uint8_t prefix[2];
    put_be(prefix, len, sizeof(prefix));
    strbuf_add(out, prefix, sizeof(prefix));
    strbuf_add(out, bytes, len);
}

/* From the mac of the entry before to this one's. */
static void chain(const struct keyring *keys, const struct audit_row *r, uint8_t mac[AUDIT_MAC])
{
    const char *texts[] = {r->e.by.who, r->e.by.source, r->e.action, r->e.outcome};
    struct strbuf message = STRBUF_INIT;
    strbuf_add(&message, mac, AUDIT_MAC);
    add_number(&message, r->seq);
    add_number(&message, r->at_ms);
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        add_field(&message, texts[i], strlen(texts[i]));
    add_field(&message, r->e.object, r->e.object_len);
    secret_hmac_sha256(keyring_audit_key(keys), KEY_SIZE, message.bytes, message.len, mac);
    strbuf_release(&message);
}

static void chain_begin(const struct keyring *keys, struct audit_head *head)
{
    memset(head, 0, sizeof(*head));
    memcpy(head->mac, keyring_vault_id(keys), VAULT_ID);
}

static enum status read_mac(const struct sqlite_rows *rows, int column, uint8_t mac[AUDIT_MAC])
{
    size_t len;
    const void *bytes = sqlite_blob(rows, column, &len);
    if (len != AUDIT_MAC)
        return STATUS_CORRUPT;
    memcpy(mac, bytes, AUDIT_MAC);
    return STATUS_OK;
}

enum status audit_head(struct sqlite *db, const struct keyring *keys, struct audit_head *out)
{
    struct sqlite_rows *rows = NULL;
    bool more = false;
    chain_begin(keys, out);
    enum status s =
        sqlite_query(db, "SELECT seq, mac FROM audit ORDER BY seq DESC LIMIT 1", SQL_NONE, &rows);
    if (s == STATUS_OK)
        s = sqlite_next(rows, &more);
    if (s == STATUS_OK && more) {
        out->count = sqlite_i64(rows, 0);
        s = read_mac(rows, 1, out->mac);
    }
    sqlite_rows_free(rows);
    return s;
}

/* --- appending ------------------------------------------------------------------------------- */

enum status audit_append(struct sqlite *db, const struct keyring *keys, const struct audit_entry *e)
{
    struct audit_head head;
    struct audit_row r = {.e = *e, .at_ms = clock_unix_ms()};
    if (!e->object)
        r.e.object_len = 0;
    enum status s = audit_head(db, keys, &head);
    if (s == STATUS_OK && head.count == INT64_MAX)
        s = STATUS_CORRUPT; /* nobody wrote that many */
    if (s != STATUS_OK)
        return s;
    r.seq = head.count + 1;
    chain(keys, &r, head.mac);
    return sqlite_exec(db,
                       "INSERT INTO audit (seq, at_ms, who, source, action, object, outcome, mac)"
                       " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                       SQL(SQL_I64(r.seq), SQL_I64(r.at_ms), SQL_TEXT(e->by.who),
                           SQL_TEXT(e->by.source), SQL_TEXT(e->action),
                           SQL_BLOB(r.e.object, r.e.object_len), SQL_TEXT(e->outcome),
                           SQL_BLOB(head.mac, AUDIT_MAC)),
                       NULL);
}

struct record {
    const struct keyring *keys;
    const struct audit_entry *entry;
};

static enum status append_record(struct sqlite *db, void *ctx)
{
    const struct record *r = ctx;
    return audit_append(db, r->keys, r->entry);
}

enum status audit_record(struct index *ix, const struct audit_entry *e)
{
    struct record r = {index_keys(ix), e};
    return index_status(index_write(ix, append_record, &r));
}

/* --- reading --------------------------------------------------------------------------------- */

/* A NUL inside would hide what stands behind it from the mac; and a table that somebody made anew
 * may have no text at all. */
static const char *whole_text(const struct sqlite_rows *rows, int column, bool *whole)
{
    size_t len;
    const char *text = sqlite_text(rows, column, &len);
    *whole = *whole && text && strlen(text) == len;
    return text ? text : "";
}

static bool read_row(const struct sqlite_rows *rows, struct audit_row *r)
{
    bool whole = true;
    *r = (struct audit_row){.seq = sqlite_i64(rows, 0), .at_ms = sqlite_i64(rows, 1)};
    r->e.by.who = whole_text(rows, 2, &whole);
    r->e.by.source = whole_text(rows, 3, &whole);
    r->e.action = whole_text(rows, 4, &whole);
    r->e.object = sqlite_blob(rows, 5, &r->e.object_len);
    r->e.outcome = whole_text(rows, 6, &whole);
    return whole;
}

/* What is read of each entry; the mac, the eighth, only to verify it. */
#define ROW "SELECT seq, at_ms, who, source, action, object, outcome, mac FROM audit "

static enum status list(struct sqlite *db, const char *sql, const struct sql_value *values,
                        size_t n, void (*each)(void *ctx, const struct audit_row *r), void *ctx)
{
    struct sqlite_rows *rows = NULL;
    struct audit_row r;
    bool more = true;
    enum status s = sqlite_query(db, sql, values, n, &rows);
    while (s == STATUS_OK && (s = sqlite_next(rows, &more)) == STATUS_OK && more) {
        read_row(rows, &r);
        each(ctx, &r);
    }
    sqlite_rows_free(rows);
    return s;
}

enum status audit_list(struct sqlite *db, int64_t before, int64_t limit,
                       void (*each)(void *ctx, const struct audit_row *r), void *ctx)
{
    return list(db, ROW "WHERE seq < ? ORDER BY seq DESC LIMIT ?",
                SQL(SQL_I64(before), SQL_I64(limit)), each, ctx);
}

enum status audit_list_all(struct sqlite *db, void (*each)(void *ctx, const struct audit_row *r),
                           void *ctx)
{
    return list(db, ROW "ORDER BY seq", SQL_NONE, each, ctx);
}

/* --- verifying ------------------------------------------------------------------------------- */

/* The next row, which must continue the chain at `head`. */
static enum status step(const struct sqlite_rows *rows, const struct keyring *keys,
                        struct audit_head *head, struct audit_row *r, struct strbuf *why)
{
    uint8_t mac[AUDIT_MAC], stored[AUDIT_MAC];
    bool whole = read_row(rows, r);
    if (r->seq != head->count + 1) {
        strbuf_addf(why, "entry %lld is missing", (long long)head->count + 1);
        return STATUS_CORRUPT;
    }
    memcpy(mac, head->mac, AUDIT_MAC);
    chain(keys, r, mac);
    if (!whole || read_mac(rows, 7, stored) != STATUS_OK || !secret_equal(mac, stored, AUDIT_MAC)) {
        strbuf_addf(why, "entry %lld is not what was written there", (long long)r->seq);
        return STATUS_CORRUPT;
    }
    head->count = r->seq;
    memcpy(head->mac, mac, AUDIT_MAC);
    return STATUS_OK;
}

static enum status compare(const struct audit_head *expect, const struct audit_head *at,
                           struct strbuf *why)
{
    if (at->count != expect->count || secret_equal(at->mac, expect->mac, AUDIT_MAC))
        return STATUS_OK;
    strbuf_addf(why, "entry %lld is another one than the expected", (long long)at->count);
    return STATUS_CORRUPT;
}

enum status audit_verify(struct sqlite *db, const struct keyring *keys,
                         const struct audit_head *expect, struct audit_head *out,
                         void (*each)(void *ctx, const struct audit_row *r), void *ctx,
                         struct strbuf *why)
{
    struct sqlite_rows *rows = NULL;
    struct audit_row r;
    bool more = true;
    chain_begin(keys, out);
    enum status s = sqlite_query(db, ROW "ORDER BY seq", SQL_NONE, &rows);
    if (s == STATUS_OK && expect)
        s = compare(expect, out, why);
    while (s == STATUS_OK && (s = sqlite_next(rows, &more)) == STATUS_OK && more) {
        s = step(rows, keys, out, &r, why);
        if (s == STATUS_OK && expect)
            s = compare(expect, out, why);
        if (s == STATUS_OK && each)
            each(ctx, &r);
    }
    sqlite_rows_free(rows);
    if (s == STATUS_OK && expect && out->count < expect->count) {
        strbuf_addf(why,
                    "the log ends at entry %lld, the expected head is %lld: it was cut or put back",
                    (long long)out->count, (long long)expect->count);
        s = STATUS_CORRUPT;
    }
    return s;
}

/* --- heads as text --------------------------------------------------------------------------- */

void audit_head_format(const struct audit_head *head, struct strbuf *out)
{
    strbuf_addf(out, "%lld:", (long long)head->count);
    hex_encode(out, head->mac, AUDIT_MAC);
}

enum status audit_head_parse(const char *text, struct audit_head *out)
{
    char *end;
    if (*text < '0' || *text > '9')
        return STATUS_UNPROCESSABLE;
    errno = 0;
    out->count = strtoll(text, &end, 10);
    if (errno || *end != ':' || hex_decode(end + 1, strlen(end + 1), out->mac, AUDIT_MAC))
        return STATUS_UNPROCESSABLE;
    return STATUS_OK;
}
