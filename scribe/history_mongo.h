/* What the files of the MongoDB driver share; nobody else includes it. The functions of a driver
 * are history.h's. */
#pragma once
#include "history.h"
#include <mongoc/mongoc.h>

enum { MEMBER_ID_SIZE = 2 * NAME_MAX_LEN + 2 };

struct history {
    struct store *store;
    mongoc_client_t *client;
    mongoc_database_t *database;
    mongoc_collection_t *messages, *rooms, *members;
    mongoc_collection_t *messages_local; /* read without a read concern */
};

/* False: enough. */
typedef bool document_row(void *ctx, const bson_t *document);
/* Find. Takes `filter` and `opts` over. */
enum status mongo_each(mongoc_collection_t *collection, bson_t *filter, bson_t *opts,
                       document_row *row, void *ctx);
/* One more update of `bulk`. Takes `where` and `change` over. */
void mongo_bulk_update(mongoc_bulk_operation_t *bulk, bson_t *where, bson_t *change);
/* Do them all. Takes `bulk` over. False, with `error`: perhaps some are done. */
bool mongo_bulk_run(mongoc_bulk_operation_t *bulk, bson_error_t *error);
/* A field; 0 and "" when it is absent. */
int64_t mongo_int(const bson_t *document, const char *name);
const char *mongo_text(const bson_t *document, const char *name);
bool mongo_take_seq(void *ctx, const bson_t *document); /* a row: `seq` into int64_t *ctx */
/* The status of what failed, logged for debugging. Of a write only what never reached a server
 * surely was not done. */
enum status mongo_unavailable(const char *what, const bson_error_t *error);
enum status mongo_write_failure(const char *what, const bson_error_t *error);

/* Rooms and members: history_mongo_rooms.c. */
const char *mongo_member_id(char out[MEMBER_ID_SIZE], const char *room, const char *user);
enum status mongo_versions(struct history *h, struct room_head *rooms, size_t n);
enum status mongo_place(struct history *h, const char *room, const char *user, struct place *out);
enum status mongo_durable_head(struct history *h, const char *room, int64_t *head);
enum status mongo_add_room(struct history *h, const char *room, const char *owner, bool private);
enum status mongo_put_member(struct history *h, const char *room, const char *user, int64_t seq);
enum status mongo_marks(struct history *h, struct read_mark *marks, size_t n);
enum status mongo_drop_member(struct history *h, const char *room, const char *user);
enum status mongo_ban_member(struct history *h, const char *room, const char *user);
enum status mongo_raise_version(struct history *h, const char *room, int64_t *version);
enum status mongo_members(struct history *h, const char *room, char (*users)[NAME_MAX_LEN + 1],
                          size_t n, bool *are);
enum status mongo_rooms(struct history *h, const char *user, const char *after,
                        struct membership *out, size_t *n);
