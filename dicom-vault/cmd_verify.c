#include "apikey.h"
#include "cmd.h"
#include "dicom_index.h"
#include "secret.h"
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PAGE = 256, PIECE = 256 * 1024, THREADS_MAX = 64 };

/* Two threads may be at two objects at once; the list is read a page at a time. */
struct verify {
    struct store *store;
    pthread_mutex_t lock; /* of all below, and of stdout */
    uint8_t ids[PAGE][OBJECT_ID];
    size_t count, next; /* of the page */
    int64_t after;
    uint64_t objects, bytes, bad;
    enum status failure;   /* of the vault as a whole: nothing is known */
    bool broken;           /* the audit log, or the rows of keys and folders */
    struct strbuf deleted; /* ids of objects, in order */
    struct strbuf revoked; /* ids of API keys, in order */
};

/* --- what the audit log says ----------------------------------------------------------------- */

static int by_object(const void *a, const void *b)
{
    return memcmp(a, b, OBJECT_ID);
}

static int by_api_key(const void *a, const void *b)
{
    return memcmp(a, b, APIKEY_ID_HEX / 2);
}

static void add_ended(void *ctx, const struct audit_row *r)
{
    struct verify *v = ctx;
    if (strcmp(r->e.outcome, "ok") != 0)
        return;
    if (strcmp(r->e.action, "delete") == 0 && r->e.object_len == OBJECT_ID)
        strbuf_add(&v->deleted, r->e.object, OBJECT_ID);
    if (strcmp(r->e.action, "key-revoke") == 0 && r->e.object_len == APIKEY_ID_HEX / 2)
        strbuf_add(&v->revoked, r->e.object, r->e.object_len);
}

/* Before anything is listed: ids are random, so that what ended by then cannot be there later but
 * by a row that somebody put back. */
static void read_log(struct verify *v)
{
    struct strbuf why = STRBUF_INIT;
    struct audit_head at;
    struct sqlite *db = index_borrow(store_index(v->store));
    enum status s = audit_verify(db, store_keys(v->store), NULL, &at, add_ended, v, &why);
    index_return(store_index(v->store), db);
    if (s == STATUS_CORRUPT) {
        printf("audit log: %s\n", strbuf_cstr(&why));
        v->broken = true;
    } else
        v->failure = s;
    strbuf_release(&why);
    if (v->deleted.len)
        qsort(v->deleted.bytes, v->deleted.len / OBJECT_ID, OBJECT_ID, by_object);
    if (v->revoked.len)
        qsort(v->revoked.bytes, v->revoked.len / (APIKEY_ID_HEX / 2), APIKEY_ID_HEX / 2,
              by_api_key);
}

static bool ended(const struct strbuf *ids, const void *id, size_t len,
                  int (*order)(const void *, const void *))
{
    return ids->len && bsearch(id, ids->bytes, ids->len / len, len, order);
}

static void find_revoked(struct verify *v)
{
    struct sqlite_rows *rows = NULL;
    struct strbuf hex = STRBUF_INIT;
    bool more = true;
    size_t len;
    struct sqlite *db = index_borrow(store_index(v->store));
    enum status s = sqlite_query(db, "SELECT id FROM api_keys", SQL_NONE, &rows);
    while (s == STATUS_OK && (s = sqlite_next(rows, &more)) == STATUS_OK && more) {
        const void *id = sqlite_blob(rows, 0, &len);
        if (len != APIKEY_ID_HEX / 2 || !ended(&v->revoked, id, len, by_api_key))
            continue;
        strbuf_reset(&hex);
        hex_encode(&hex, id, len);
        printf("revoked %s\n", strbuf_cstr(&hex));
        v->broken = true;
    }
    sqlite_rows_free(rows);
    index_return(store_index(v->store), db);
    strbuf_release(&hex);
    if (s != STATUS_OK)
        v->failure = s;
}

/* --- files ----------------------------------------------------------------------------------- */

/* Under the lock. */
static void report(struct verify *v, const char *what, const uint8_t id[OBJECT_ID])
{
    char text[OBJECT_ID_HEX + 1];
    object_id_format(id, text);
    printf("%s %s\n", what, text);
    v->bad++;
}

static void add_to_page(void *ctx, const struct object *o, bool sound)
{
    struct verify *v = ctx;
    v->after = o->seq;
    if (ended(&v->deleted, o->id, OBJECT_ID, by_object))
        report(v, "deleted", o->id);
    else if (sound)
        memcpy(v->ids[v->count++], o->id, OBJECT_ID);
    else
        report(v, "damaged", o->id);
}

static bool take_next(struct verify *v, uint8_t id[OBJECT_ID])
{
    pthread_mutex_lock(&v->lock);
    for (bool more = true; v->next == v->count && v->failure == STATUS_OK && more;) {
        int64_t before = v->after;
        v->count = v->next = 0;
        v->failure = index_list(store_index(v->store), v->after, PAGE, add_to_page, v);
        more = v->after != before;
    }
    bool taken = v->next < v->count && v->failure == STATUS_OK;
    if (taken)
        memcpy(id, v->ids[v->next++], OBJECT_ID);
    pthread_mutex_unlock(&v->lock);
    return taken;
}

/* Every chunk, thrown away; and what DICOM lists have of it. */
static enum status read_all(struct store *store, const uint8_t id[OBJECT_ID], uint8_t *piece,
                            uint64_t *size)
{
    struct download *d;
    struct object o;
    size_t n = 1;
    enum status s = download_new(store, id, &o, &d);
    if (s != STATUS_OK)
        return s;
    *size = o.size;
    s = download_range(d, 0, o.size);
    while (s == STATUS_OK && n > 0)
        s = download_read(d, piece, PIECE, &n);
    download_free(d);
    return s == STATUS_OK ? dicom_check(store_index(store), id) : s;
}

static void *work(void *arg)
{
    struct verify *v = arg;
    uint8_t id[OBJECT_ID], *piece = xmalloc(PIECE);
    while (take_next(v, id)) {
        uint64_t size = 0;
        enum status s = read_all(v->store, id, piece, &size);
        pthread_mutex_lock(&v->lock);
        v->objects += s == STATUS_OK;
        v->bytes += s == STATUS_OK ? size : 0;
        if (s != STATUS_OK && s != STATUS_NOT_FOUND) /* deleted since it was listed */
            report(v, s == STATUS_CORRUPT ? "damaged" : "unreadable", id);
        pthread_mutex_unlock(&v->lock);
    }
    free(piece);
    return NULL;
}

/* --- blobs that no row names ----------------------------------------------------------------- */

/* In this order, beside a server that serves: an upload leaves tmp/ after its row is there, and a
 * deleted blob goes before the note of it is done. */
static enum status check_blob(void *ctx, const uint8_t id[OBJECT_ID])
{
    struct verify *v = ctx;
    const struct folder *f = store_folder(v->store);
    char name[OBJECT_ID_HEX + 1];
    bool known = true;
    int64_t ignored;
    object_id_format(id, name);
    if (faccessat(f->tmp, name, F_OK, 0) == 0)
        return STATUS_OK;
    struct sqlite *db = index_borrow(store_index(v->store));
    enum status s = sqlite_query_i64(db,
                                     "SELECT 1 FROM objects WHERE id = ?1 UNION ALL"
                                     " SELECT 1 FROM deleted WHERE object = ?1 AND unlinked = 0",
                                     SQL(SQL_BLOB(id, OBJECT_ID)), &known, &ignored);
    index_return(store_index(v->store), db);
    if (s == STATUS_OK && !known && faccessat(folder_leaf(f, id), name, F_OK, 0) == 0) {
        printf("unknown %s\n", name);
        v->broken = true;
    }
    return s;
}

static void find_unknown(struct verify *v)
{
    const struct folder *f = store_folder(v->store);
    for (size_t i = 0; i < FOLDER_LEAVES && v->failure == STATUS_OK; i++)
        v->failure = folder_list(f->leaf[i], check_blob, v);
}

static void run(struct verify *v, size_t threads)
{
    pthread_t thread[THREADS_MAX];
    size_t started = 0;
    pthread_mutex_init(&v->lock, NULL);
    read_log(v);
    while (started + 1 < threads && pthread_create(&thread[started], NULL, work, v) == 0)
        started++;
    work(v);
    while (started > 0)
        pthread_join(thread[--started], NULL);
    if (v->failure == STATUS_OK)
        find_revoked(v);
    if (v->failure == STATUS_OK)
        find_unknown(v);
    pthread_mutex_destroy(&v->lock);
}

static int64_t processors(void)
{
    long n = sysconf(_SC_NPROCESSORS_ONLN);
    return n < 1 ? 1 : n > THREADS_MAX ? THREADS_MAX : n;
}

int cmd_verify(int argc, char **argv)
{
    static int64_t threads;
    static const struct config_option options[] = {
        CMD_WHERE,
        {"THREADS", CONFIG_INT, &threads, "0", "objects read at once; 0: one for each processor", 0,
         THREADS_MAX, NULL},
    };
    struct strbuf why = STRBUF_INIT;
    struct verify v = {.after = INT64_MIN};
    cmd_configure("read every file and report the damaged", options, CMD_COUNT(options), argc,
                  argv);
    if (threads == 0)
        threads = processors();
    v.failure = cmd_open((size_t)threads + 1, &v.store, &why);
    if (v.failure == STATUS_OK)
        run(&v, (size_t)threads);
    store_close(v.store);
    if (v.failure != STATUS_OK && why.len == 0)
        strbuf_addf(&why, "verify: %s", status_title(v.failure));
    int code = v.failure == STATUS_OK ? v.bad > 0 || v.broken : cmd_complain(&why);
    if (v.failure == STATUS_OK)
        printf("%llu files of %llu bytes are sound, %llu are not\n", (unsigned long long)v.objects,
               (unsigned long long)v.bytes, (unsigned long long)v.bad);
    strbuf_release(&v.deleted);
    strbuf_release(&v.revoked);
    strbuf_release(&why);
    return code;
}
