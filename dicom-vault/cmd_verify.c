#include "cmd.h"
#include "dicom_index.h"
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
    enum status failure; /* of the vault as a whole: nothing is known */
};

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
    if (sound)
        memcpy(v->ids[v->count++], o->id, OBJECT_ID);
    else
        report(v, "damaged", o->id);
}

static bool take_next(struct verify *v, uint8_t id[OBJECT_ID])
{
    pthread_mutex_lock(&v->lock);
    for (int64_t before = -1;
         v->next == v->count && v->failure == STATUS_OK && before != v->after;) {
        before = v->after;
        v->count = v->next = 0;
        v->failure = index_list(store_index(v->store), v->after, PAGE, add_to_page, v);
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

/* Ids are random, so one that was deleted does not come back: its row was put back. */
static void find_risen(struct verify *v)
{
    struct sqlite_rows *rows = NULL;
    bool more = true;
    struct sqlite *db = index_borrow(store_index(v->store));
    enum status s = sqlite_query(db,
                                 "SELECT DISTINCT o.id FROM objects o JOIN audit a"
                                 " ON a.object = o.id AND a.action = 'delete' AND a.outcome = 'ok'",
                                 SQL_NONE, &rows);
    while (s == STATUS_OK && (s = sqlite_next(rows, &more)) == STATUS_OK && more) {
        size_t len;
        const void *id = sqlite_blob(rows, 0, &len);
        if (len == OBJECT_ID)
            report(v, "deleted", id);
    }
    sqlite_rows_free(rows);
    index_return(store_index(v->store), db);
    if (s != STATUS_OK)
        v->failure = s;
}

static void run(struct verify *v, size_t threads)
{
    pthread_t thread[THREADS_MAX];
    size_t started = 0;
    pthread_mutex_init(&v->lock, NULL);
    while (started + 1 < threads && pthread_create(&thread[started], NULL, work, v) == 0)
        started++;
    work(v);
    while (started > 0)
        pthread_join(thread[--started], NULL);
    if (v->failure == STATUS_OK)
        find_risen(v);
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
    struct verify v = {.failure = STATUS_OK};
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
    int code = v.failure == STATUS_OK ? v.bad > 0 : cmd_complain(&why);
    if (v.failure == STATUS_OK)
        printf("%llu files of %llu bytes are sound, %llu are not\n", (unsigned long long)v.objects,
               (unsigned long long)v.bytes, (unsigned long long)v.bad);
    strbuf_release(&why);
    return code;
}
