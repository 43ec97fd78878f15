/* Rooms and members in MongoDB: `rooms` {_id: room, private, owner, version}; `members`
 * {_id: "room/user", room, user, seq, removed}, with the read marker in `seq`, -1: invited and not
 * joined yet.
 *
 * A change of members and the version that tells of it are two writes. Should the second be lost,
 * the answer is a failure that is to be tried again, and every change can be. */
#include "history_mongo.h"
#include "log.h"
#include <stdlib.h>
#include <string.h>

enum { DUPLICATE_KEY = 11000, TRIES = 5 };

const char *mongo_member_id(char out[MEMBER_ID_SIZE], const char *room, const char *user)
{
    snprintf(out, MEMBER_ID_SIZE, "%s/%s", room, user);
    return out;
}

/* --- reading -------------------------------------------------------------------------------- */

struct place_rows {
    const char *user;
    struct place *out;
};

static bool take_room(void *ctx, const bson_t *document)
{
    const struct place_rows *rows = ctx;
    struct place *p = rows->out;
    p->exists = true;
    p->private = mongo_int(document, "private") != 0;
    p->owns = strcmp(mongo_text(document, "owner"), rows->user) == 0;
    p->version = mongo_int(document, "version");
    return false;
}

static bool take_member(void *ctx, const bson_t *document)
{
    struct place *p = ((const struct place_rows *)ctx)->out;
    p->known = true;
    p->removed = mongo_int(document, "removed") != 0;
    p->marker = mongo_int(document, "seq");
    return false;
}

static bson_t *only_one(void)
{
    return BCON_NEW("limit", BCON_INT64(1));
}

enum status mongo_place(struct history *h, const char *room, const char *user, struct place *out)
{
    char id[MEMBER_ID_SIZE];
    struct place_rows rows = {user, out};
    *out = (struct place){.marker = -1};
    enum status status =
        mongo_each(h->rooms, BCON_NEW("_id", BCON_UTF8(room)), only_one(), take_room, &rows);
    if (status != STATUS_OK)
        return status;
    return mongo_each(h->members, BCON_NEW("_id", BCON_UTF8(mongo_member_id(id, room, user))),
                      only_one(), take_member, &rows);
}

enum status mongo_durable_head(struct history *h, const char *room, int64_t *head)
{
    *head = 0;
    return mongo_each(h->messages, BCON_NEW("room", BCON_UTF8(room)),
                      BCON_NEW("sort", "{", "seq", BCON_INT32(-1), "}", "limit", BCON_INT64(1)),
                      mongo_take_seq, head);
}

/* {field: {$in: [n strings, `stride` bytes apart]}} */
static bson_t *filter_in(const char *field, const char *first, size_t stride, size_t n)
{
    bson_t *filter = bson_new();
    bson_t condition, list;
    BSON_APPEND_DOCUMENT_BEGIN(filter, field, &condition);
    BSON_APPEND_ARRAY_BEGIN(&condition, "$in", &list);
    for (size_t i = 0; i < n; i++) {
        char buffer[16];
        const char *key;
        bson_uint32_to_string((uint32_t)i, &key, buffer, sizeof(buffer));
        BSON_APPEND_UTF8(&list, key, first + i * stride);
    }
    bson_append_array_end(&condition, &list);
    bson_append_document_end(filter, &condition);
    return filter;
}

struct version_rows {
    struct room_head *rooms;
    size_t n;
};

static bool take_version(void *ctx, const bson_t *document)
{
    const struct version_rows *rows = ctx;
    int64_t version = mongo_int(document, "version");
    for (size_t i = 0; i < rows->n; i++)
        if (strcmp(rows->rooms[i].room, mongo_text(document, "_id")) == 0 &&
            version > rows->rooms[i].version)
            rows->rooms[i].version = version;
    return true;
}

enum status mongo_versions(struct history *h, struct room_head *rooms, size_t n)
{
    return mongo_each(h->rooms, filter_in("_id", rooms[0].room, sizeof(rooms[0]), n), NULL,
                      take_version, &(struct version_rows){rooms, n});
}

/* --- writing -------------------------------------------------------------------------------- */

/* Takes `document` over. DUPLICATE: its _id is taken. */
static enum status add(mongoc_collection_t *collection, bson_t *document)
{
    bson_error_t error;
    bool done = mongoc_collection_insert_one(collection, document, NULL, NULL, &error);
    bson_destroy(document);
    if (done)
        return STATUS_OK;
    return error.code == DUPLICATE_KEY ? STATUS_DUPLICATE : mongo_unavailable("insert", &error);
}

enum status mongo_add_room(struct history *h, const char *room, const char *owner, bool private)
{
    return add(h->rooms, BCON_NEW("_id", BCON_UTF8(room), "private", BCON_BOOL(private), "owner",
                                  BCON_UTF8(owner), "version", BCON_INT64(0)));
}

/* Takes `change` over. Without `upsert` nothing happens when there is no such member. */
static enum status change_member(struct history *h, const char *room, const char *user,
                                 bson_t *change, bool upsert)
{
    char id[MEMBER_ID_SIZE];
    bson_error_t error;
    unsigned tries = 0;
    bson_t *where = BCON_NEW("_id", BCON_UTF8(mongo_member_id(id, room, user)));
    bson_t *opts = BCON_NEW("upsert", BCON_BOOL(upsert));
    bool done;
    do /* two upserts of one _id met: the other one is done, and this one finds it */
        done = mongoc_collection_update_one(h->members, where, change, opts, NULL, &error);
    while (!done && error.code == DUPLICATE_KEY && ++tries < TRIES);
    bson_destroy(where);
    bson_destroy(opts);
    bson_destroy(change);
    return done ? STATUS_OK : mongo_unavailable("member", &error);
}

enum status mongo_put_member(struct history *h, const char *room, const char *user, int64_t seq)
{
    return change_member(h, room, user,
                         BCON_NEW("$max", "{", "seq", BCON_INT64(seq), "}", "$set", "{", "room",
                                  BCON_UTF8(room), "user", BCON_UTF8(user), "removed",
                                  BCON_BOOL(false), "}"),
                         true);
}

enum status mongo_raise_version(struct history *h, const char *room, int64_t *version)
{
    struct place p = {.version = 0};
    bson_error_t error;
    bson_t *where = BCON_NEW("_id", BCON_UTF8(room));
    bson_t *change = BCON_NEW("$inc", "{", "version", BCON_INT64(1), "}");
    bool done = mongoc_collection_update_one(h->rooms, where, change, NULL, NULL, &error);
    bson_destroy(change);
    enum status status = STATUS_OK;
    if (done)
        status = mongo_each(h->rooms, bson_copy(where), only_one(), take_room,
                            &(struct place_rows){"", &p});
    else
        status = mongo_unavailable("version", &error);
    bson_destroy(where);
    *version = p.version;
    return status;
}

enum status mongo_ban_member(struct history *h, const char *room, const char *user)
{
    return change_member(h, room, user,
                         BCON_NEW("$set", "{", "room", BCON_UTF8(room), "user", BCON_UTF8(user),
                                  "removed", BCON_BOOL(true), "}", "$setOnInsert", "{", "seq",
                                  BCON_INT64(-1), "}"),
                         true);
}

enum status mongo_drop_member(struct history *h, const char *room, const char *user)
{
    char id[MEMBER_ID_SIZE];
    bson_error_t error;
    bson_t *where = BCON_NEW("_id", BCON_UTF8(mongo_member_id(id, room, user)));
    bool done = mongoc_collection_delete_one(h->members, where, NULL, NULL, &error);
    bson_destroy(where);
    return done ? STATUS_OK : mongo_unavailable("member", &error);
}

/* --- read markers --------------------------------------------------------------------------- */

struct mark_rows {
    struct read_mark *marks;
    char (*ids)[MEMBER_ID_SIZE];
    size_t n;
};

static bool take_mark(void *ctx, const bson_t *document)
{
    const struct mark_rows *rows = ctx;
    for (size_t i = 0; i < rows->n; i++)
        if (strcmp(rows->ids[i], mongo_text(document, "_id")) == 0) {
            rows->marks[i].known = true;
            rows->marks[i].seq = mongo_int(document, "seq");
        }
    return true;
}

/* Is there another for the same member that goes as far, or farther? */
static bool outdone(const struct mark_rows *rows, size_t i)
{
    for (size_t k = 0; k < rows->n; k++)
        if (k != i && strcmp(rows->ids[k], rows->ids[i]) == 0 &&
            (rows->marks[k].seq > rows->marks[i].seq ||
             (rows->marks[k].seq == rows->marks[i].seq && k > i)))
            return true;
    return false;
}

static enum status move_marks(struct history *h, const struct mark_rows *rows)
{
    bson_t *opts = BCON_NEW("ordered", BCON_BOOL(false));
    bson_error_t error;
    mongoc_bulk_operation_t *bulk =
        mongoc_collection_create_bulk_operation_with_opts(h->members, opts);
    for (size_t i = 0; i < rows->n; i++) {
        if (outdone(rows, i))
            continue;
        bson_t *where = BCON_NEW("_id", BCON_UTF8(rows->ids[i]));
        mongo_bulk_update(bulk, where,
                          BCON_NEW("$max", "{", "seq", BCON_INT64(rows->marks[i].seq), "}"));
    }
    bool done = mongo_bulk_run(bulk, &error);
    bson_destroy(opts);
    return done ? STATUS_OK : mongo_unavailable("marks", &error);
}

enum status mongo_marks(struct history *h, struct read_mark *marks, size_t n)
{
    struct mark_rows rows = {marks, xcalloc(n, MEMBER_ID_SIZE), n};
    for (size_t i = 0; i < n; i++)
        mongo_member_id(rows.ids[i], marks[i].room, marks[i].user);
    enum status status = move_marks(h, &rows);
    for (size_t i = 0; i < n; i++)
        marks[i].known = false;
    if (status == STATUS_OK)
        status = mongo_each(h->members, filter_in("_id", rows.ids[0], MEMBER_ID_SIZE, n), NULL,
                            take_mark, &rows);
    free(rows.ids);
    return status;
}

/* --- lists ---------------------------------------------------------------------------------- */

struct member_rows {
    char (*users)[NAME_MAX_LEN + 1];
    size_t n;
    bool *are;
};

static bool take_user(void *ctx, const bson_t *document)
{
    const struct member_rows *rows = ctx;
    for (size_t i = 0; i < rows->n; i++)
        if (strcmp(rows->users[i], mongo_text(document, "user")) == 0)
            rows->are[i] = mongo_int(document, "removed") == 0;
    return true;
}

enum status mongo_members(struct history *h, const char *room, char (*users)[NAME_MAX_LEN + 1],
                          size_t n, bool *are)
{
    memset(are, 0, n * sizeof(are[0]));
    bson_t *filter = filter_in("user", users[0], sizeof(users[0]), n);
    BSON_APPEND_UTF8(filter, "room", room);
    return mongo_each(h->members, filter, NULL, take_user, &(struct member_rows){users, n, are});
}

struct room_rows {
    struct membership *out;
    size_t n;
};

static bool take_membership(void *ctx, const bson_t *document)
{
    struct room_rows *rows = ctx;
    struct membership *m = &rows->out[rows->n++];
    snprintf(m->room, sizeof(m->room), "%s", mongo_text(document, "room"));
    m->marker = mongo_int(document, "seq");
    return true;
}

static bool take_private(void *ctx, const bson_t *document)
{
    const struct room_rows *rows = ctx;
    for (size_t i = 0; i < rows->n; i++)
        if (strcmp(rows->out[i].room, mongo_text(document, "_id")) == 0)
            rows->out[i].private = mongo_int(document, "private") != 0;
    return true;
}

enum status mongo_rooms(struct history *h, const char *user, const char *after,
                        struct membership *out, size_t *n)
{
    struct room_rows rows = {.out = out};
    enum status status = mongo_each(
        h->members,
        BCON_NEW("user", BCON_UTF8(user), "room", "{", "$gt", BCON_UTF8(after), "}", "removed",
                 BCON_BOOL(false)),
        BCON_NEW("sort", "{", "room", BCON_INT32(1), "}", "limit", BCON_INT64((int64_t)*n)),
        take_membership, &rows);
    *n = rows.n;
    if (status != STATUS_OK || rows.n == 0)
        return status;
    status = mongo_each(h->rooms, filter_in("_id", out[0].room, sizeof(out[0]), rows.n), NULL,
                        take_private, &rows);
    for (size_t i = 0; i < rows.n && status == STATUS_OK; i++)
        status = mongo_durable_head(h, out[i].room, &out[i].head);
    return status;
}
