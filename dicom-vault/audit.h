/* The audit log: who did what to which object, and how it went; refusals too.
 *
 * A hash chain in the index: mac = HMAC-SHA-256(audit key, mac before || seq || entry), the first
 * one over the vault id. The audit key is derived from the root key, so who has only the disk can
 * neither make up an entry nor change, remove or reorder one unnoticed. What the chain alone
 * cannot show is its end cut off, or the whole disk put back to an earlier state: for that, compare
 * with an anchor (count and mac) kept elsewhere. */
#pragma once
#include "keyring.h"
#include "sqlite.h"
#include <stdbool.h>

struct index;
enum { AUDIT_MAC = 32 };

/* Texts of at most 65535 bytes. */
struct audit_by {
    const char *who;    /* id of an API key, "command", or "" for a caller without a good key */
    const char *source; /* the caller's address, or the user of a command */
};
struct audit_entry {
    struct audit_by by;
    const char *action; /* "store", "read", "list", "delete", ... */
    const void *object; /* id of what it was done to, or NULL */
    size_t object_len;
    const char *outcome; /* slug of the status */
};
struct audit_row { /* an entry as it stands in the log */
    int64_t seq, at_ms;
    struct audit_entry e;
};
struct audit_head {
    int64_t count;
    uint8_t mac[AUDIT_MAC];
};
/* Who runs this command; `text` keeps it. */
struct audit_by audit_by_command(char text[32]);

/* The next entry, inside the caller's write transaction (index_write): it stands or falls with what
 * it tells. */
enum status audit_append(struct sqlite *db, const struct keyring *keys,
                         const struct audit_entry *e);
/* The same in a transaction of its own, durable when it returns OK. Blocks. */
enum status audit_record(struct index *ix, const struct audit_entry *e);

/* Blocks: a worker thread, or a command. */
enum status audit_head(struct sqlite *db, const struct keyring *keys, struct audit_head *out);
/* At most `limit` entries with seq < before, the newest first, as they stand there: the chain is
 * not checked. What `each` is given lasts as long as it runs. */
enum status audit_list(struct sqlite *db, int64_t before, int64_t limit,
                       void (*each)(void *ctx, const struct audit_row *r), void *ctx);
/* All of them, oldest first. */
enum status audit_list_all(struct sqlite *db, void (*each)(void *ctx, const struct audit_row *r),
                           void *ctx);
/* Walk the whole chain. CORRUPT, with the place in `why`, when an entry was changed, removed or
 * reordered; with `expect`, also when the log is no continuation of that head. *out is how far the
 * chain holds; `each`, or NULL, is given every entry so far, whatever tables and indexes say. */
enum status audit_verify(struct sqlite *db, const struct keyring *keys,
                         const struct audit_head *expect, struct audit_head *out,
                         void (*each)(void *ctx, const struct audit_row *r), void *ctx,
                         struct strbuf *why);

/* "<count>:<mac in hex>", as `audit head` prints it. */
void audit_head_format(const struct audit_head *head, struct strbuf *out);
enum status audit_head_parse(const char *text, struct audit_head *out);
