/* History in MongoDB, or a server of its protocol: mongodb://host/database.
 *
 * Collections: `messages` {room, seq, sender, client_id, at, text}, unique by {room, seq} and by
 * {room, sender, client_id}; those of history_mongo_rooms.c. Writes wait for the majority's
 * journals. What clients get to see is read with read concern majority, so that it cannot vanish
 * in a failover; the head to number from is read without, since a place may be taken though it
 * is not durable yet. */
#include "history_mongo.h"
#include "log.h"
#include <stdlib.h>
#include <string.h>

enum { SELECTION_MS = 2000, SOCKET_MS = 5000, DUPLICATE_KEY = 11000, HEADS_MAX = 10000 };

struct store {
    mongoc_client_pool_t *pool;
    char *database;
};

/* --- the store ------------------------------------------------------------------------------ */

static void set_defaults(mongoc_uri_t *uri)
{
    static const struct {
        const char *option;
        int32_t ms;
    } limits[] = {
        {MONGOC_URI_SERVERSELECTIONTIMEOUTMS, SELECTION_MS},
        {MONGOC_URI_CONNECTTIMEOUTMS, SELECTION_MS},
        {MONGOC_URI_SOCKETTIMEOUTMS, SOCKET_MS},
    };
    for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++)
        if (!mongoc_uri_has_option(uri, limits[i].option))
            mongoc_uri_set_option_as_int32(uri, limits[i].option, limits[i].ms);
    /* What to do about an unknown outcome is decided in one place, and not here. */
    mongoc_uri_set_option_as_bool(uri, MONGOC_URI_RETRYWRITES, false);
}

static void log_line(mongoc_log_level_t level, const char *domain, const char *message,
                     void *unused)
{
    (void)level;
    (void)unused;
    log_debug("mongoc", F("domain", domain), F("text", message));
}

static enum status store_new(const char *url, void **out, struct strbuf *why)
{
    mongoc_log_set_handler(log_line, NULL);
    mongoc_init();
    bson_error_t error;
    mongoc_uri_t *uri = mongoc_uri_new_with_error(url, &error);
    if (!uri) {
        strbuf_addstr(why, error.message);
        return STATUS_UNPROCESSABLE;
    }
    set_defaults(uri);
    struct store *store = xcalloc(1, sizeof(*store));
    const char *database = mongoc_uri_get_database(uri);
    store->database = xstrdup(database ? database : "scribe");
    store->pool = mongoc_client_pool_new(uri);
    mongoc_client_pool_set_error_api(store->pool, MONGOC_ERROR_API_VERSION_2);
    mongoc_client_pool_set_appname(store->pool, "scribe");
    mongoc_uri_destroy(uri);
    *out = store;
    return STATUS_OK;
}

static void store_free(void *ctx)
{
    struct store *store = ctx;
    mongoc_client_pool_destroy(store->pool);
    free(store->database);
    free(store);
    mongoc_cleanup();
}

/* --- a connection --------------------------------------------------------------------------- */

static bool command(struct history *h, bson_t *command, bson_error_t *error)
{
    bool done = mongoc_database_write_command_with_opts(h->database, command, NULL, NULL, error);
    bson_destroy(command);
    return done;
}

/* One a command: FerretDB 1.24 panics at two that it has already. */
static bool create_indexes(struct history *h, bson_error_t *error)
{
    static const struct {
        const char *collection, *name, *fields[3];
        bool unique;
    } indexes[] = {
        {"messages", "room_seq", {"room", "seq"}, true},
        {"messages", "room_sender_client_id", {"room", "sender", "client_id"}, true},
        {"members", "user_room", {"user", "room"}, false},
    };
    bool done = true;
    for (size_t i = 0; done && i < sizeof(indexes) / sizeof(indexes[0]); i++) {
        bson_t *key = bson_new();
        for (size_t f = 0; f < 3 && indexes[i].fields[f]; f++)
            BSON_APPEND_INT32(key, indexes[i].fields[f], 1);
        done = command(h,
                       BCON_NEW("createIndexes", BCON_UTF8(indexes[i].collection), "indexes", "[",
                                "{", "name", BCON_UTF8(indexes[i].name), "key", BCON_DOCUMENT(key),
                                "unique", BCON_BOOL(indexes[i].unique), "}", "]"),
                       error);
        bson_destroy(key);
    }
    return done;
}

static void set_concerns(struct history *h)
{
    mongoc_write_concern_t *durable = mongoc_write_concern_new();
    mongoc_write_concern_set_wmajority(durable, SOCKET_MS - 1000);
    mongoc_write_concern_set_journal(durable, true);
    mongoc_read_concern_t *majority = mongoc_read_concern_new();
    mongoc_read_concern_set_level(majority, MONGOC_READ_CONCERN_LEVEL_MAJORITY);
    mongoc_collection_t *const all[] = {h->messages, h->rooms, h->members};
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        mongoc_collection_set_write_concern(all[i], durable);
        mongoc_collection_set_read_concern(all[i], majority);
    }
    mongoc_write_concern_destroy(durable);
    mongoc_read_concern_destroy(majority);
}

static void close_client(struct history *h)
{
    mongoc_collection_destroy(h->messages);
    mongoc_collection_destroy(h->messages_local);
    mongoc_collection_destroy(h->rooms);
    mongoc_collection_destroy(h->members);
    mongoc_database_destroy(h->database);
    mongoc_client_pool_push(h->store->pool, h->client);
    free(h);
}

static enum status open_client(void *ctx, struct history **out, struct strbuf *why)
{
    struct store *store = ctx;
    bson_error_t error;
    struct history *h = xcalloc(1, sizeof(*h));
    h->store = store;
    h->client = mongoc_client_pool_pop(store->pool);
    h->database = mongoc_client_get_database(h->client, store->database);
    h->messages = mongoc_database_get_collection(h->database, "messages");
    h->messages_local = mongoc_database_get_collection(h->database, "messages");
    h->rooms = mongoc_database_get_collection(h->database, "rooms");
    h->members = mongoc_database_get_collection(h->database, "members");
    set_concerns(h);
    if (create_indexes(h, &error)) {
        *out = h;
        return STATUS_OK;
    }
    strbuf_addstr(why, error.message);
    close_client(h);
    return STATUS_UNAVAILABLE;
}

enum status mongo_unavailable(const char *what, const bson_error_t *error)
{
    log_debug("history_failed", F("what", what), F("why", error->message));
    return STATUS_UNAVAILABLE;
}

static enum status ping(struct history *h)
{
    bson_error_t error;
    return command(h, BCON_NEW("ping", BCON_INT32(1)), &error) ? STATUS_OK
                                                               : mongo_unavailable("ping", &error);
}

/* --- reading -------------------------------------------------------------------------------- */

enum status mongo_each(mongoc_collection_t *collection, bson_t *filter, bson_t *opts,
                       document_row *row, void *ctx)
{
    const bson_t *document;
    bson_error_t error;
    mongoc_cursor_t *cursor = mongoc_collection_find_with_opts(collection, filter, opts, NULL);
    while (mongoc_cursor_next(cursor, &document) && row(ctx, document))
        ;
    bool failed = mongoc_cursor_error(cursor, &error);
    mongoc_cursor_destroy(cursor);
    bson_destroy(filter);
    bson_destroy(opts);
    return failed ? mongo_unavailable("find", &error) : STATUS_OK;
}

int64_t mongo_int(const bson_t *document, const char *name)
{
    bson_iter_t it;
    return bson_iter_init_find(&it, document, name) ? bson_iter_as_int64(&it) : 0;
}

const char *mongo_text(const bson_t *document, const char *name)
{
    bson_iter_t it;
    bool found = bson_iter_init_find(&it, document, name) && BSON_ITER_HOLDS_UTF8(&it);
    return found ? bson_iter_utf8(&it, NULL) : "";
}

bool mongo_take_seq(void *ctx, const bson_t *document)
{
    *(int64_t *)ctx = mongo_int(document, "seq");
    return false;
}

static enum status head(struct history *h, const char *room, int64_t *out)
{
    *out = 0;
    return mongo_each(h->messages_local, BCON_NEW("room", BCON_UTF8(room)),
                      BCON_NEW("sort", "{", "seq", BCON_INT32(-1), "}", "limit", BCON_INT64(1)),
                      mongo_take_seq, out);
}

static enum status find(struct history *h, const struct message *m, int64_t *seq)
{
    *seq = 0;
    return mongo_each(h->messages,
                      BCON_NEW("room", BCON_UTF8(m->room), "sender", BCON_UTF8(m->sender),
                               "client_id", BCON_UTF8(m->client_id)),
                      BCON_NEW("limit", BCON_INT64(1)), mongo_take_seq, seq);
}

struct page_rows {
    history_row *row;
    void *ctx;
};

static bool take_message(void *ctx, const bson_t *document)
{
    const struct page_rows *rows = ctx;
    bson_iter_t it;
    const struct message m = {
        .room = mongo_text(document, "room"),
        .seq = mongo_int(document, "seq"),
        .sender = mongo_text(document, "sender"),
        .client_id = mongo_text(document, "client_id"),
        .at_ms = bson_iter_init_find(&it, document, "at") && BSON_ITER_HOLDS_DATE_TIME(&it)
                     ? bson_iter_date_time(&it)
                     : 0,
        .text = mongo_text(document, "text"),
    };
    return rows->row(rows->ctx, &m);
}

static enum status page(struct history *h, const struct page_query *q, history_row *row, void *ctx)
{
    struct page_rows rows = {row, ctx};
    return mongo_each(h->messages,
                      BCON_NEW("room", BCON_UTF8(q->room), "seq", "{", "$gt", BCON_INT64(q->after),
                               "$lt", BCON_INT64(q->before), "}"),
                      BCON_NEW("sort", "{", "seq", BCON_INT32(q->after < 0 ? -1 : 1), "}", "limit",
                               BCON_INT64(q->limit)),
                      take_message, &rows);
}

struct raise {
    struct room_head *rooms;
    size_t n;
};

static bool raise_head(void *ctx, const bson_t *document)
{
    const struct raise *raise = ctx;
    const char *room = mongo_text(document, "room");
    int64_t seq = mongo_int(document, "seq");
    for (size_t i = 0; i < raise->n; i++)
        if (strcmp(raise->rooms[i].room, room) == 0 && seq > raise->rooms[i].head)
            raise->rooms[i].head = seq;
    return true;
}

/* What is above the known heads: each branch is a range of the index {room, seq}. */
static enum status message_heads(struct history *h, struct room_head *rooms, size_t n)
{
    bson_t *filter = bson_new();
    bson_t branches;
    BSON_APPEND_ARRAY_BEGIN(filter, "$or", &branches);
    for (size_t i = 0; i < n; i++) {
        char buffer[16];
        const char *key;
        bson_uint32_to_string((uint32_t)i, &key, buffer, sizeof(buffer));
        bson_t *branch = BCON_NEW("room", BCON_UTF8(rooms[i].room), "seq", "{", "$gt",
                                  BCON_INT64(rooms[i].head), "}");
        bson_append_document(&branches, key, -1, branch);
        bson_destroy(branch);
    }
    bson_append_array_end(filter, &branches);
    return mongo_each(h->messages, filter,
                      BCON_NEW("projection", "{", "_id", BCON_INT32(0), "room", BCON_INT32(1),
                               "seq", BCON_INT32(1), "}", "limit", BCON_INT64(HEADS_MAX)),
                      raise_head, &(struct raise){rooms, n});
}

static enum status heads(struct history *h, struct room_head *rooms, size_t n)
{
    enum status status = message_heads(h, rooms, n);
    return status == STATUS_OK ? mongo_versions(h, rooms, n) : status;
}

/* --- writing -------------------------------------------------------------------------------- */

static enum status write_work(struct history *h, enum status (*work)(void *ctx), void *ctx)
{
    (void)h;
    return work(ctx); /* each insert stands by itself */
}

/* Only what never reached a server surely was not done. */
enum status mongo_write_failure(const char *what, const bson_error_t *error)
{
    mongo_unavailable(what, error);
    return error->domain == MONGOC_ERROR_SERVER_SELECTION ? STATUS_UNAVAILABLE
                                                          : STATUS_OUTCOME_UNKNOWN;
}

/* The index of the document that met a unique key, -1 when the failure is another one or is not
 * the only one. */
static int64_t duplicate_at(const bson_t *reply)
{
    bson_iter_t it, errors, field;
    if (bson_iter_init_find(&it, reply, "writeConcernErrors"))
        return -1;
    if (!bson_iter_init_find(&it, reply, "writeErrors") || !bson_iter_recurse(&it, &errors) ||
        !bson_iter_next(&errors))
        return -1;
    if (!bson_iter_recurse(&errors, &field) || !bson_iter_find(&field, "code") ||
        bson_iter_as_int64(&field) != DUPLICATE_KEY)
        return -1;
    if (!bson_iter_recurse(&errors, &field) || !bson_iter_find(&field, "index"))
        return -1;
    return bson_iter_as_int64(&field);
}

static bson_t *message_document(const struct message *m)
{
    return BCON_NEW("room", BCON_UTF8(m->room), "seq", BCON_INT64(m->seq), "sender",
                    BCON_UTF8(m->sender), "client_id", BCON_UTF8(m->client_id), "at",
                    BCON_DATE_TIME(m->at_ms), "text", BCON_UTF8(m->text));
}

static enum status insert(struct history *h, struct message *const *batch, size_t n, size_t *done)
{
    bson_t **documents = xcalloc(n, sizeof(bson_t *));
    for (size_t i = 0; i < n; i++)
        documents[i] = message_document(batch[i]);
    bson_t reply;
    bson_error_t error;
    enum status status = STATUS_OK;
    *done = 0;
    if (!mongoc_collection_insert_many(h->messages, (const bson_t **)documents, n, NULL, &reply,
                                       &error)) {
        int64_t at = duplicate_at(&reply);
        status = at < 0 ? mongo_write_failure("insert", &error) : STATUS_DUPLICATE;
        *done = at < 0 ? 0 : (size_t)at;
    }
    bson_destroy(&reply);
    for (size_t i = 0; i < n; i++)
        bson_destroy(documents[i]);
    free(documents);
    return status;
}

void mongo_bulk_update(mongoc_bulk_operation_t *bulk, bson_t *where, bson_t *change)
{
    mongoc_bulk_operation_update_one_with_opts(bulk, where, change, NULL, NULL);
    bson_destroy(where);
    bson_destroy(change);
}

bool mongo_bulk_run(mongoc_bulk_operation_t *bulk, bson_error_t *error)
{
    bson_t reply;
    bool done = mongoc_bulk_operation_execute(bulk, &reply, error) != 0;
    bson_destroy(&reply);
    mongoc_bulk_operation_destroy(bulk);
    return done;
}

static enum status mark_own(struct history *h, struct message *const *batch, size_t n)
{
    char id[MEMBER_ID_SIZE];
    bson_error_t error;
    mongoc_bulk_operation_t *bulk =
        mongoc_collection_create_bulk_operation_with_opts(h->members, NULL);
    for (size_t i = 0; i < n; i++) {
        mongo_member_id(id, batch[i]->room, batch[i]->sender);
        bson_t *where = BCON_NEW("_id", BCON_UTF8(id), "seq", BCON_INT64(batch[i]->seq - 1));
        mongo_bulk_update(bulk, where,
                          BCON_NEW("$set", "{", "seq", BCON_INT64(batch[i]->seq), "}"));
    }
    return mongo_bulk_run(bulk, &error) ? STATUS_OK : mongo_write_failure("mark_own", &error);
}

const struct history_driver history_mongo = {
    .scheme = "mongodb",
    .atomic = false,
    .store_new = store_new,
    .store_free = store_free,
    .open = open_client,
    .close = close_client,
    .ping = ping,
    .write = write_work,
    .head = head,
    .find = find,
    .insert = insert,
    .mark_own = mark_own,
    .page = page,
    .heads = heads,
    .place = mongo_place,
    .durable_head = mongo_durable_head,
    .add_room = mongo_add_room,
    .put_member = mongo_put_member,
    .marks = mongo_marks,
    .drop_member = mongo_drop_member,
    .ban_member = mongo_ban_member,
    .raise_version = mongo_raise_version,
    .members = mongo_members,
    .rooms = mongo_rooms,
};
