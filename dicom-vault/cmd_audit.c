#include "audit.h"
#include "clock.h"
#include "cmd.h"
#include "secret.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- list ------------------------------------------------------------------------------------ */

static void print_entry(void *ctx, const struct audit_row *r)
{
    char at[RFC3339_SIZE];
    struct strbuf line = STRBUF_INIT;
    (void)ctx;
    rfc3339_format(r->at_ms, at);
    strbuf_addf(&line, "%lld %s %s %s %s ", (long long)r->seq, at, *r->e.by.who ? r->e.by.who : "-",
                r->e.by.source, r->e.action);
    hex_encode(&line, r->e.object, r->e.object_len);
    strbuf_addf(&line, "%s%s", r->e.object_len ? " " : "- ", r->e.outcome);
    puts(line.bytes);
    strbuf_release(&line);
}

static enum status list(struct sqlite *db, const struct keyring *keys, const char *expect,
                        struct strbuf *why)
{
    (void)keys;
    (void)expect;
    (void)why;
    return audit_list_all(db, print_entry, NULL);
}

/* --- head and verify ------------------------------------------------------------------------- */

static void print_head(const struct audit_head *at)
{
    struct strbuf text = STRBUF_INIT;
    audit_head_format(at, &text);
    puts(text.bytes);
    strbuf_release(&text);
}

static enum status head(struct sqlite *db, const struct keyring *keys, const char *expect,
                        struct strbuf *why)
{
    struct audit_head at;
    (void)expect;
    (void)why;
    enum status s = audit_head(db, keys, &at);
    if (s == STATUS_OK)
        print_head(&at);
    return s;
}

static enum status verify(struct sqlite *db, const struct keyring *keys, const char *expect,
                          struct strbuf *why)
{
    struct audit_head at, expected;
    if (*expect && audit_head_parse(expect, &expected) != STATUS_OK) {
        strbuf_addf(why, "--expect %s: not like what `audit head` prints", expect);
        return STATUS_UNPROCESSABLE;
    }
    enum status s = audit_verify(db, keys, *expect ? &expected : NULL, &at, NULL, NULL, why);
    if (s == STATUS_OK)
        print_head(&at);
    return s;
}

static const struct {
    const char *name;
    enum status (*run)(struct sqlite *db, const struct keyring *keys, const char *expect,
                       struct strbuf *why);
} verbs[] = {{"list", list}, {"head", head}, {"verify", verify}};

static enum status run(size_t verb, const char *expect, struct strbuf *why)
{
    struct store *store = NULL;
    enum status s = cmd_open(1, &store, why);
    if (s != STATUS_OK)
        return s;
    struct sqlite *db = index_borrow(store_index(store));
    s = verbs[verb].run(db, store_keys(store), expect, why);
    index_return(store_index(store), db);
    store_close(store);
    if (s != STATUS_OK && why->len == 0)
        strbuf_addf(why, "audit: %s", status_title(s));
    return s;
}

int cmd_audit(int argc, char **argv)
{
    static const char *expect;
    static const struct config_option options[] = {
        CMD_WHERE,
        {"EXPECT", CONFIG_STRING, &expect, "", "verify: a head that the log must continue", 0, 0,
         NULL},
    };
    struct strbuf why = STRBUF_INIT;
    size_t verb = 0;
    while (verb < CMD_COUNT(verbs) && (argc < 2 || strcmp(argv[1], verbs[verb].name) != 0))
        verb++;
    bool known = verb < CMD_COUNT(verbs);
    cmd_configure("the audit log: `audit list`, `audit head`, `audit verify`", options,
                  CMD_COUNT(options), argc - known, argv + known);
    if (!known) {
        fputs("dicom-vault: audit list, audit head or audit verify\n", stderr);
        return 2;
    }
    int code = run(verb, expect, &why) == STATUS_OK ? 0 : cmd_complain(&why);
    strbuf_release(&why);
    return code;
}
