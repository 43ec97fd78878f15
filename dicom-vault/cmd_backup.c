#include "cmd.h"
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SNAPSHOT_TRIES = 5 };

struct backup {
    struct store *store;
    const struct folder *from;
    struct folder to;
    char *path, *index; /* of the copy while it is made, and of its index */
    uint64_t linked, missing;
};

static enum status failed(const char *what, struct strbuf *why)
{
    strbuf_addf(why, "backup: %s: %s", what, strerror(errno));
    return STATUS_UNAVAILABLE;
}

/* --- index and keyring ----------------------------------------------------------------------- */

static enum status snapshot_index(struct backup *b)
{
    unlinkat(b->to.top, "index.db", 0);
    struct sqlite *db = index_borrow(store_index(b->store));
    enum status s = sqlite_exec(db, "VACUUM INTO ?", SQL(SQL_TEXT(b->index)), NULL);
    index_return(store_index(b->store), db);
    return s;
}

static enum status copy_parameters(struct backup *b)
{
    struct strbuf file = STRBUF_INIT;
    enum status s = STATUS_OK;
    if (folder_has(b->from, "passphrase")) {
        s = folder_read(b->from, "passphrase", 4096, &file);
        if (s == STATUS_OK)
            s = folder_write(&b->to, "passphrase", file.bytes, file.len);
    }
    strbuf_release(&file);
    return s;
}

/* The keyring as it was both before and after the snapshot: so it has every key that the snapshot's
 * rows need, and `rotate` or `retire` fell on neither side of it. */
static enum status snapshot(struct backup *b, struct strbuf *why)
{
    struct strbuf before = STRBUF_INIT, after = STRBUF_INIT;
    bool same = false;
    enum status s = folder_read(b->from, "keyring", KEYRING_FILE_MAX, &before);
    for (int i = 0; i < SNAPSHOT_TRIES && s == STATUS_OK && !same; i++) {
        s = snapshot_index(b);
        strbuf_reset(&after);
        if (s == STATUS_OK)
            s = folder_read(b->from, "keyring", KEYRING_FILE_MAX, &after);
        same = before.len == after.len && memcmp(before.bytes, after.bytes, after.len) == 0;
        strbuf_reset(&before);
        strbuf_add(&before, after.bytes, after.len);
    }
    if (s == STATUS_OK && !same) {
        strbuf_addstr(why, "backup: the keyring changes all the time");
        s = STATUS_CONFLICT;
    }
    if (s == STATUS_OK)
        s = copy_parameters(b);
    if (s == STATUS_OK)
        s = folder_write(&b->to, "keyring", after.bytes, after.len);
    strbuf_release(&before);
    strbuf_release(&after);
    return s;
}

/* --- blobs ----------------------------------------------------------------------------------- */

static enum status link_blob(struct backup *b, const uint8_t id[OBJECT_ID], struct strbuf *why)
{
    char name[OBJECT_ID_HEX + 1];
    object_id_format(id, name);
    if (linkat(folder_leaf(b->from, id), name, folder_leaf(&b->to, id), name, 0) == 0) {
        b->linked++;
        return STATUS_OK;
    }
    if (errno != ENOENT)
        return failed("link (the copy must be on the vault's own file system)", why);
    printf("missing %s\n", name);
    b->missing++;
    return STATUS_OK;
}

/* Those that the snapshot has, whatever came or went since. */
static enum status link_blobs(struct backup *b, struct strbuf *why)
{
    struct sqlite *db;
    struct sqlite_rows *rows = NULL;
    bool more = true;
    enum status s = sqlite_open(b->index, 0, NULL, &db, why);
    if (s != STATUS_OK)
        return s;
    s = sqlite_query(db, "SELECT id FROM objects", SQL_NONE, &rows);
    while (s == STATUS_OK && (s = sqlite_next(rows, &more)) == STATUS_OK && more) {
        size_t len;
        const void *id = sqlite_blob(rows, 0, &len);
        if (len == OBJECT_ID)
            s = link_blob(b, id, why);
    }
    sqlite_rows_free(rows);
    sqlite_close(db);
    return s;
}

/* --- all of it ------------------------------------------------------------------------------- */

static enum status copy(struct backup *b, struct strbuf *why)
{
    char user[32];
    struct audit_entry e = {audit_by_command(user), "backup", NULL, 0, "ok"};
    enum status s = audit_record(store_index(b->store), &e);
    if (s != STATUS_OK)
        return s;
    int held = folder_hold_unlinks(b->from);
    if (held < 0)
        return failed("lock", why);
    s = snapshot(b, why);
    if (s == STATUS_OK)
        s = link_blobs(b, why);
    close(held);
    if (s == STATUS_OK && syncfs(b->to.top) != 0)
        s = failed("sync", why);
    return s;
}

/* Only a whole copy gets the name. */
static enum status give_name(const struct backup *b, const char *to, struct strbuf *why)
{
    char *parent = xstrdup(to);
    enum status s = STATUS_OK;
    int fd = open(dirname(parent), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || renameat2(AT_FDCWD, b->path, AT_FDCWD, to, RENAME_NOREPLACE) != 0 ||
        fsync(fd) != 0)
        s = failed(to, why);
    if (fd >= 0)
        close(fd);
    free(parent);
    return s;
}

static enum status run(struct backup *b, const char *to, struct strbuf *why)
{
    struct strbuf path = STRBUF_INIT;
    if (faccessat(AT_FDCWD, to, F_OK, AT_SYMLINK_NOFOLLOW) == 0) {
        strbuf_addf(why, "backup: %s is there already", to);
        return STATUS_CONFLICT;
    }
    strbuf_addf(&path, "%s.partial", to);
    b->path = strbuf_detach(&path, NULL);
    strbuf_addf(&path, "%s/index.db", b->path);
    b->index = strbuf_detach(&path, NULL);
    if (mkdir(b->path, 0700) != 0)
        return failed(b->path, why);
    enum status s = folder_create(b->path, &b->to, why);
    if (s != STATUS_OK)
        return s;
    s = copy(b, why);
    folder_close(&b->to);
    return s == STATUS_OK ? give_name(b, to, why) : s;
}

int cmd_backup(int argc, char **argv)
{
    static const char *to;
    static const struct config_option options[] = {
        CMD_WHERE,
        {"TO", CONFIG_STRING, &to, NULL, "new folder, on the vault's file system", 0, 0, NULL},
    };
    struct strbuf why = STRBUF_INIT;
    struct backup b = {.store = NULL};
    cmd_configure("copy the vault while it serves: index, keyring, hard links of the blobs",
                  options, CMD_COUNT(options), argc, argv);
    enum status s = cmd_open(2, &b.store, &why);
    if (s == STATUS_OK) {
        b.from = store_folder(b.store);
        s = run(&b, to, &why);
    }
    store_close(b.store);
    free(b.path);
    free(b.index);
    if (s != STATUS_OK && why.len == 0)
        strbuf_addf(&why, "backup: %s", status_title(s));
    int code = s == STATUS_OK ? b.missing > 0 : cmd_complain(&why);
    if (s == STATUS_OK)
        printf("%llu files, %llu missing\n", (unsigned long long)b.linked,
               (unsigned long long)b.missing);
    strbuf_release(&why);
    return code;
}
