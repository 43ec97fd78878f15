#include "store.h"
#include "chunked.h"
#include "clock.h"
#include "log.h"
#include "passphrase.h"
#include "secret.h"
#include "syncs.h"
#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct store {
    struct folder folder;
    struct keyring *keys;
    struct index *index;
    struct syncs syncs; /* of uploads */
    uint64_t reserve;   /* bytes of the disk that uploads leave free */
};

struct upload {
    struct store *store;
    int fd;
    char id[OBJECT_ID_HEX + 1]; /* its name in tmp/ and blobs/ */
    bool in_tmp;                /* the name is there, and goes with the upload */
    uint64_t flushed;           /* bytes whose writeback was started */
    struct object object;
    uint8_t data_key[KEY_SIZE];
    struct chunked_sealer *sealer;
    EVP_MD_CTX *hash;
    uint64_t room; /* what the quota leaves, bytes on disk */
    bool expected;
    uint8_t expected_sha256[32], tag[BLIND_TAG];
    struct index_with with;
};

/* --- the vault ------------------------------------------------------------------------------- */

static char *index_path(const char *folder)
{
    struct strbuf path = STRBUF_INIT;
    strbuf_addf(&path, "%s/index.db", folder);
    return strbuf_detach(&path, NULL);
}

struct root {
    uint8_t key[KEY_SIZE];
    uint8_t parameters[PASSPHRASE_FILE]; /* of a passphrase */
};

static enum status root_new(struct root_file from, struct root *root, struct strbuf *why)
{
    if (!from.passphrase)
        return root_key_read(from.path, root->key, why);
    passphrase_parameters(root->parameters);
    return passphrase_root(from.path, root->parameters, PASSPHRASE_FILE, root->key, why);
}

static enum status root_read(const struct folder *f, struct root_file from, uint8_t root[KEY_SIZE],
                             struct strbuf *why)
{
    struct strbuf parameters = STRBUF_INIT;
    if (folder_has(f, "passphrase") != from.passphrase) {
        strbuf_addf(why, "this vault wants %s",
                    from.passphrase ? "a root key, not a passphrase (VAULT_ROOT_KEY_FILE)"
                                    : "a passphrase, not a root key (VAULT_PASSPHRASE_FILE)");
        return STATUS_UNPROCESSABLE;
    }
    if (!from.passphrase)
        return root_key_read(from.path, root, why);
    enum status s = folder_read(f, "passphrase", 4096, &parameters);
    if (s == STATUS_OK)
        s = passphrase_root(from.path, (const uint8_t *)parameters.bytes, parameters.len, root,
                            why);
    strbuf_release(&parameters);
    return s;
}

static enum status create_in(const struct folder *f, const char *path, struct root_file from,
                             const struct root *root, struct strbuf *why)
{
    if (folder_has(f, "keyring")) {
        strbuf_addf(why, "%s: there is a vault already; nothing was changed", path);
        return STATUS_CONFLICT;
    }
    struct strbuf file = STRBUF_INIT;
    struct keyring *keys = keyring_new(root->key);
    char *db = index_path(path);
    enum status s = index_create(db, keys, why);
    if (s == STATUS_OK && from.passphrase)
        s = folder_write(f, "passphrase", root->parameters, PASSPHRASE_FILE);
    if (s == STATUS_OK) { /* the keyring last: it says that the rest is there */
        keyring_write(keys, &file);
        s = folder_write(f, "keyring", file.bytes, file.len);
        if (s != STATUS_OK)
            strbuf_addf(why, "%s: the keyring could not be written", path);
    }
    keyring_free(keys);
    strbuf_release(&file);
    free(db);
    return s;
}

enum status store_create(const char *path, struct root_file from, struct strbuf *why)
{
    struct folder f;
    struct root root;
    enum status s = root_new(from, &root, why);
    if (s == STATUS_OK)
        s = folder_create(path, &f, why);
    if (s == STATUS_OK) {
        s = create_in(&f, path, from, &root, why);
        folder_close(&f);
    }
    secret_wipe(&root, sizeof(root));
    return s;
}

static enum status read_keyring(void *ctx, struct strbuf *out)
{
    const struct store *s = ctx;
    return folder_read(&s->folder, "keyring", KEYRING_FILE_MAX, out);
}

static enum status open_keyring(struct store *s, struct root_file from, struct strbuf *why)
{
    uint8_t root[KEY_SIZE];
    struct strbuf file = STRBUF_INIT;
    enum status st = root_read(&s->folder, from, root, why);
    if (st != STATUS_OK)
        goto out;
    st = read_keyring(s, &file);
    if (st == STATUS_OK)
        st = keyring_read(root, file.bytes, file.len, &s->keys);
    if (st != STATUS_OK) {
        strbuf_addf(why, "the %s in %s does not open the keyring: wrong %s or changed file",
                    from.passphrase ? "passphrase" : "root key", from.path,
                    from.passphrase ? "passphrase" : "key");
        st = STATUS_UNPROCESSABLE;
    } else
        keyring_source(s->keys, read_keyring, s);
out:
    secret_wipe(root, sizeof(root));
    strbuf_release(&file);
    return st;
}

/* --- what has to go -------------------------------------------------------------------------- */

static enum status unlink_blob(const struct store *s, const uint8_t id[OBJECT_ID])
{
    char name[OBJECT_ID_HEX + 1];
    object_id_format(id, name);
    if (unlinkat(folder_leaf(&s->folder, id), name, 0) == 0 || errno == ENOENT)
        return STATUS_OK;
    log_error("unlink_failed", F("object", name), F("reason", strerror(errno)));
    return STATUS_UNAVAILABLE;
}

/* CONTENDED while a backup is under way, unless `wait`. */
static enum status begin_unlinks(const struct store *s, bool wait, int *may)
{
    *may = folder_begin_unlinks(&s->folder, wait);
    if (*may >= 0)
        return STATUS_OK;
    return errno == EWOULDBLOCK ? STATUS_CONTENDED : folder_errno("backup.lock");
}

enum status store_unlink(struct store *s, const uint8_t id[OBJECT_ID], bool wait)
{
    int may;
    enum status st = begin_unlinks(s, wait, &may);
    if (st != STATUS_OK)
        return st;
    st = unlink_blob(s, id);
    if (st == STATUS_OK && wait && fsync(folder_leaf(&s->folder, id)) != 0)
        st = folder_errno("fsync");
    close(may);
    return st;
}

struct sweep {
    struct store *store;
    size_t files;
};

/* An upload that ended without a word: its name in tmp/ is the last to go. */
static enum status sweep_upload(void *ctx, const uint8_t id[OBJECT_ID])
{
    struct sweep *w = ctx;
    char name[OBJECT_ID_HEX + 1];
    bool kept;
    object_id_format(id, name);
    enum status st = index_contains(w->store->index, id, &kept);
    if (st == STATUS_OK && !kept)
        st = unlink_blob(w->store, id);
    if (st == STATUS_OK && unlinkat(w->store->folder.tmp, name, 0) != 0)
        st = folder_errno("unlink");
    w->files += st == STATUS_OK && !kept;
    return st;
}

enum { COLLECT = 256 };
struct collected { /* a batch of deleted objects without a blob */
    size_t count;
    uint8_t ids[COLLECT][OBJECT_ID];
};

/* The next that the index names as deleted and not as there; unlinked, or else left out. */
static enum status collect_next(struct store *s, uint8_t after[OBJECT_ID], bool *more,
                                struct collected *c)
{
    struct sqlite_rows *rows = NULL;
    struct sqlite *db = index_borrow(s->index);
    size_t len, seen = 0;
    enum status st = sqlite_query(db,
                                  "SELECT object FROM deleted WHERE unlinked = 0 AND object > ?"
                                  " AND object NOT IN (SELECT id FROM objects)"
                                  " ORDER BY object LIMIT ?",
                                  SQL(SQL_BLOB(after, OBJECT_ID), SQL_I64(COLLECT)), &rows);
    while (st == STATUS_OK && (st = sqlite_next(rows, more)) == STATUS_OK && *more) {
        const void *id = sqlite_blob(rows, 0, &len);
        memset(after, 0, OBJECT_ID);
        memcpy(after, id, len < OBJECT_ID ? len : OBJECT_ID);
        seen++;
        if (len == OBJECT_ID && unlink_blob(s, after) == STATUS_OK)
            memcpy(c->ids[c->count++], after, OBJECT_ID);
    }
    sqlite_rows_free(rows);
    index_return(s->index, db);
    *more = seen == COLLECT;
    return st;
}

static enum status mark_unlinked(struct sqlite *db, void *ctx)
{
    const struct collected *c = ctx;
    enum status st = STATUS_OK;
    for (size_t i = 0; st == STATUS_OK && i < c->count; i++)
        st = sqlite_exec(db, "UPDATE deleted SET unlinked = 1 WHERE object = ?",
                         SQL(SQL_BLOB(c->ids[i], OBJECT_ID)), NULL);
    return st;
}

static enum status collect(struct store *s)
{
    uint8_t after[OBJECT_ID] = {0};
    enum status st = STATUS_OK;
    for (bool more = true; st == STATUS_OK && more;) {
        struct collected c = {0};
        st = collect_next(s, after, &more, &c);
        if (st == STATUS_OK && c.count && syncfs(s->folder.top) != 0)
            st = folder_errno("syncfs");
        if (st == STATUS_OK && c.count)
            st = index_write(s->index, mark_unlinked, &c);
    }
    return st;
}

void store_collect(struct store *s)
{
    int may;
    enum status st = begin_unlinks(s, false, &may);
    if (st == STATUS_OK) {
        st = collect(s);
        close(may);
    }
    if (st != STATUS_OK && st != STATUS_CONTENDED)
        log_warn("collect_failed", F("why", status_slug(st)));
}

/* Only by who holds the lock, before uploads begin. */
static enum status sweep(struct store *s, struct strbuf *why)
{
    int may;
    struct sweep w = {s, 0};
    enum status st = begin_unlinks(s, false, &may);
    if (st == STATUS_CONTENDED) {
        log_info("sweep_deferred", F("why", "a backup is under way"));
        return STATUS_OK;
    }
    if (st == STATUS_OK) {
        st = folder_list(s->folder.tmp, sweep_upload, &w);
        close(may);
    }
    if (st != STATUS_OK)
        strbuf_addstr(why, "what a crash left behind could not be swept");
    if (w.files)
        log_info("swept", F("files", w.files));
    store_collect(s);
    return st;
}

/* --- open and close -------------------------------------------------------------------------- */

enum status store_open(const char *path, struct root_file from, size_t threads, bool serve,
                       struct store **out, struct strbuf *why)
{
    *out = NULL;
    struct store *s = xcalloc(1, sizeof(*s));
    char *db = index_path(path);
    enum status st = folder_open(path, serve, &s->folder, why);
    syncs_init(&s->syncs, s->folder.top);
    if (st == STATUS_OK)
        st = open_keyring(s, from, why);
    if (st == STATUS_OK && !folder_has(&s->folder, "index.db")) {
        strbuf_addf(why, "%s is missing; an empty one would orphan every blob", db);
        st = STATUS_UNAVAILABLE;
    }
    if (st == STATUS_OK)
        st = index_open(db, s->keys, threads, &s->index, why);
    if (st == STATUS_OK && serve)
        st = sweep(s, why);
    free(db);
    if (st == STATUS_OK)
        *out = s;
    else
        store_close(s);
    return st;
}

void store_close(struct store *s)
{
    if (!s)
        return;
    index_close(s->index);
    keyring_free(s->keys);
    syncs_release(&s->syncs);
    folder_close(&s->folder);
    free(s);
}

struct index *store_index(struct store *s)
{
    return s->index;
}

struct keyring *store_keys(const struct store *s)
{
    return s->keys;
}

void store_set_limits(struct store *s, int64_t quota, int64_t reserve)
{
    index_set_quota(s->index, quota);
    s->reserve = (uint64_t)reserve;
}

const struct folder *store_folder(const struct store *s)
{
    return &s->folder;
}

/* --- delete ---------------------------------------------------------------------------------- */

/* The index remembers what could not be unlinked. */
enum status store_delete(struct store *s, const uint8_t id[OBJECT_ID], const struct audit_by *by)
{
    enum status st = index_delete(s->index, id, by);
    if (st == STATUS_OK)
        store_unlink(s, id, false);
    return st;
}

enum status store_save_keyring(struct store *s)
{
    struct strbuf file = STRBUF_INIT;
    keyring_write(s->keys, &file);
    enum status st = folder_write(&s->folder, "keyring", file.bytes, file.len);
    strbuf_release(&file);
    return st;
}

/* --- upload ---------------------------------------------------------------------------------- */

enum status upload_new(struct store *s, struct upload **out)
{
    uint8_t identity[OBJECT_IDENTITY], header[CHUNKED_HEADER];
    struct upload *u = xcalloc(1, sizeof(*u));
    u->store = s;
    secret_random(u->object.id, OBJECT_ID);
    object_id_format(u->object.id, u->id);
    secret_random(u->data_key, KEY_SIZE);
    object_identity(keyring_vault_id(s->keys), u->object.id, identity);
    u->sealer = chunked_sealer_new(u->data_key, identity, sizeof(identity), header);
    u->hash = EVP_MD_CTX_new();
    crypto_must(u->hash && EVP_DigestInit_ex2(u->hash, EVP_sha256(), NULL) == 1);
    u->fd = openat(s->folder.tmp, u->id, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    u->in_tmp = u->fd >= 0;
    enum status st = u->in_tmp ? folder_room(&s->folder, s->reserve) : folder_errno("create");
    if (st == STATUS_OK)
        st = write_all(u->fd, header, sizeof(header));
    if (st == STATUS_OK)
        st = index_room(s->index, &u->room);
    if (st != STATUS_OK) {
        upload_free(u);
        u = NULL;
    }
    *out = u;
    return st;
}

static void leave_tmp(struct upload *u)
{
    if (u->in_tmp)
        unlinkat(u->store->folder.tmp, u->id, 0);
    u->in_tmp = false;
}

void upload_free(struct upload *u)
{
    if (!u)
        return;
    leave_tmp(u);
    if (u->fd >= 0)
        close(u->fd);
    chunked_sealer_free(u->sealer);
    EVP_MD_CTX_free(u->hash);
    secret_wipe(u, sizeof(*u));
    free(u);
}

/* So that the disk works while the rest arrives, and the fsync at the end finds little to do. A
 * failure is that fsync's to tell. */
static void start_writeback(struct upload *u)
{
    enum { STEP = 8 << 20 };
    if (u->object.size - u->flushed < STEP)
        return;
    sync_file_range(u->fd, (off_t)u->flushed, STEP, SYNC_FILE_RANGE_WRITE);
    u->flushed += STEP;
}

enum status upload_write(struct upload *u, const uint8_t *bytes, size_t len)
{
    enum { PIECE = 4 * CHUNKED_PLAIN };
    uint8_t sealed[CHUNKED_ROOM(PIECE)];
    crypto_must(EVP_DigestUpdate(u->hash, bytes, len) == 1);
    u->object.size += len;
    enum status st = chunked_file_size(u->object.size) > u->room
                         ? STATUS_STORAGE_FULL
                         : folder_room(&u->store->folder, u->store->reserve + len);
    while (st == STATUS_OK && len > 0) {
        size_t n, take = len < PIECE ? len : PIECE;
        st = chunked_seal(u->sealer, bytes, take, sealed, &n);
        if (st == STATUS_OK)
            st = write_all(u->fd, sealed, n);
        bytes += take;
        len -= take;
    }
    if (st == STATUS_OK)
        start_writeback(u);
    return st;
}

/* In blobs/, durable; the name in tmp/ stays to say that it may be without a row. */
static enum status put_in_place(struct upload *u)
{
    struct syncs *syncs = &u->store->syncs;
    int leaf = folder_leaf(&u->store->folder, u->object.id);
    if (syncs_fsync(syncs, u->fd) != 0 || linkat(u->store->folder.tmp, u->id, leaf, u->id, 0) != 0)
        return folder_errno("put in place");
    if (syncs_fsync(syncs, leaf) == 0)
        return STATUS_OK;
    enum status st = folder_errno("fsync");
    u->in_tmp = unlink_blob(u->store, u->object.id) == STATUS_OK;
    return st;
}

static bool same_file(const struct object *a, const struct object *b)
{
    return memcmp(a->sha256, b->sha256, sizeof(a->sha256)) == 0 && strcmp(a->name, b->name) == 0;
}

void upload_expect(struct upload *u, const uint8_t sha256[32])
{
    u->expected = true;
    memcpy(u->expected_sha256, sha256, 32);
}

void upload_once(struct upload *u, const uint8_t tag[BLIND_TAG])
{
    memcpy(u->tag, tag, BLIND_TAG);
    u->with.once = u->tag;
}

void upload_also(struct upload *u,
                 enum status (*also)(struct sqlite *db, void *ctx, const struct object *o,
                                     const uint8_t data_key[KEY_SIZE]),
                 void *ctx)
{
    u->with.also = also;
    u->with.also_ctx = ctx;
}

/* What was stored under its tag before. */
static enum status find_earlier(const struct upload *u, struct object *o)
{
    uint8_t id[OBJECT_ID], data_key[KEY_SIZE];
    memcpy(id, o->id, OBJECT_ID);
    enum status st = index_find(u->store->index, id, o, data_key);
    secret_wipe(data_key, sizeof(data_key));
    if (st == STATUS_NOT_FOUND) /* deleted since: another try stores it */
        return STATUS_UNAVAILABLE;
    return st == STATUS_OK && !same_file(o, &u->object) ? STATUS_CONFLICT : st;
}

enum status upload_finish(struct upload *u, const char *name, const struct audit_by *by,
                          struct object *o)
{
    uint8_t last[CHUNKED_SEALED];
    crypto_must(EVP_DigestFinal_ex(u->hash, u->object.sha256, NULL) == 1);
    if (u->expected && memcmp(u->object.sha256, u->expected_sha256, 32) != 0)
        return STATUS_UNPROCESSABLE;
    enum status st = write_all(u->fd, last, chunked_seal_last(u->sealer, last));
    if (st == STATUS_OK)
        st = put_in_place(u);
    if (st != STATUS_OK)
        return st;
    u->object.created_ms = clock_unix_ms();
    snprintf(u->object.name, sizeof(u->object.name), "%s", name);
    *o = u->object;
    st = index_insert(u->store->index, o, u->data_key, &u->with, by);
    if (st == STATUS_OUTCOME_UNKNOWN) /* that the next start's sweep decides */
        u->in_tmp = false;
    else if (st != STATUS_OK)
        u->in_tmp = unlink_blob(u->store, u->object.id) == STATUS_OK;
    leave_tmp(u);
    if (st == STATUS_DUPLICATE)
        st = find_earlier(u, o);
    return index_status(st);
}
