/* rotate, rewrap, retire KEY, shred OBJECT */
#include "cmd.h"
#include "rekey.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

typedef enum status key_verb(struct store *s, const struct audit_by *by, const char *word,
                             struct strbuf *why);

static enum status rotate(struct store *s, const struct audit_by *by, const char *word,
                          struct strbuf *why)
{
    uint32_t key_id;
    (void)word;
    enum status st = rekey_rotate(s, by, &key_id, why);
    if (st == STATUS_OK)
        printf("key %u wraps from now on; `rewrap` moves what is stored to it\n", key_id);
    return st;
}

static enum status rewrap(struct store *s, const struct audit_by *by, const char *word,
                          struct strbuf *why)
{
    uint64_t done, bad;
    (void)word;
    enum status st = rekey_rewrap(s, by, &done, &bad, why);
    printf("%llu objects rewrapped\n", (unsigned long long)done);
    if (st != STATUS_OK || bad == 0)
        return st;
    strbuf_addf(why, "%llu objects open under no key; `verify` names them",
                (unsigned long long)bad);
    return STATUS_CORRUPT;
}

static enum status retire(struct store *s, const struct audit_by *by, const char *word,
                          struct strbuf *why)
{
    char *end;
    errno = 0;
    unsigned long key_id = strtoul(word, &end, 10);
    if (*end || errno || key_id < 1 || key_id > UINT32_MAX) {
        strbuf_addf(why, "retire %s: want the number of a key", word);
        return STATUS_UNPROCESSABLE;
    }
    enum status st = rekey_retire(s, by, (uint32_t)key_id, why);
    if (st == STATUS_OK)
        printf("key %lu is gone\n", key_id);
    return st;
}

static enum status shred(struct store *s, const struct audit_by *by, const char *word,
                         struct strbuf *why)
{
    uint8_t id[OBJECT_ID];
    uint32_t key_id;
    bool complete;
    enum status st = object_id_parse(word, id);
    if (st == STATUS_OK)
        st = rekey_shred(s, by, id, &key_id, &complete, why);
    if (st == STATUS_NOT_FOUND)
        strbuf_addf(why, "there is no object %s", word);
    else if (st == STATUS_CONTENDED)
        strbuf_addstr(why, "deleted, but readers hold the index's log; shred it again");
    else if (st == STATUS_OK && complete)
        puts("complete");
    else if (st == STATUS_OK)
        printf(
            "deleted; complete after rotate, rewrap and retire %u, and what is older, then shred "
            "it again\n",
            key_id);
    return st;
}

static int run(int argc, char **argv, const char *summary, bool takes_word, key_verb *verb)
{
    static const struct config_option options[] = {CMD_WHERE};
    char uid[32];
    struct strbuf why = STRBUF_INIT;
    struct store *store = NULL;
    struct audit_by by = audit_by_command(uid);
    bool word = takes_word && argc > 1 && argv[1][0] != '-';
    cmd_configure(summary, options, CMD_COUNT(options), argc - word, argv + word);
    if (takes_word && !word) {
        fprintf(stderr, "dicom-vault: %s\n", summary);
        return 2;
    }
    enum status s = cmd_open(1, &store, &why);
    if (s == STATUS_OK)
        s = verb(store, &by, word ? argv[1] : "", &why);
    if (s != STATUS_OK && why.len == 0)
        strbuf_addstr(&why, status_title(s));
    store_close(store);
    int code = s == STATUS_OK ? 0 : cmd_complain(&why);
    strbuf_release(&why);
    return code;
}

int cmd_rotate(int argc, char **argv)
{
    return run(argc, argv, "rotate: make a new wrapping key", false, rotate);
}

int cmd_rewrap(int argc, char **argv)
{
    return run(argc, argv, "rewrap: wrap every data key under the newest key", false, rewrap);
}

int cmd_retire(int argc, char **argv)
{
    return run(argc, argv, "retire KEY: take a key that nothing uses out of the keyring", true,
               retire);
}

int cmd_shred(int argc, char **argv)
{
    return run(argc, argv, "shred OBJECT: delete it, and its key from every page", true, shred);
}
