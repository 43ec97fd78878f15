#include "apikey.h"
#include "secret.h"
#include <string.h>

enum { ID = APIKEY_ID_HEX / 2, SECRET = 32, VERIFIER = 32 };
static const char prefix[] = "vk_";

static const struct {
    const char *name;
    roles bit;
} scope_names[] = {{"read", SCOPE_READ}, {"write", SCOPE_WRITE}, {"admin", SCOPE_ADMIN}};

static roles scope_bit(const char *name, size_t len)
{
    for (size_t i = 0; i < sizeof(scope_names) / sizeof(scope_names[0]); i++)
        if (strlen(scope_names[i].name) == len && memcmp(scope_names[i].name, name, len) == 0)
            return scope_names[i].bit;
    return 0;
}

enum status scopes_parse(const char *text, roles *out)
{
    *out = 0;
    for (size_t len;; text += len + 1) {
        len = strcspn(text, ",");
        roles bit = scope_bit(text, len);
        if (!bit || (*out & bit))
            return STATUS_UNPROCESSABLE;
        *out |= bit;
        if (text[len] == '\0')
            return STATUS_OK;
    }
}

static void verifier(const struct keyring *keys, const uint8_t id[ID], roles scopes,
                     const uint8_t secret[SECRET], uint8_t out[VERIFIER])
{
    uint8_t message[ID + 4 + SECRET];
    memcpy(message, id, ID);
    put_be(message + ID, scopes, 4);
    memcpy(message + ID + 4, secret, SECRET);
    secret_hmac_sha256(keyring_apikey_key(keys), KEY_SIZE, message, sizeof(message), out);
    secret_wipe(message, sizeof(message));
}

/* A statement about one key, and its audit entry. */
struct change {
    struct index *ix;
    const char *sql;
    const struct sql_value *values;
    size_t n;
    struct audit_entry entry;
    uint64_t changed;
};

static enum status apply(struct sqlite *db, void *ctx)
{
    struct change *c = ctx;
    enum status s = sqlite_exec(db, c->sql, c->values, c->n, &c->changed);
    if (s != STATUS_OK || c->changed == 0)
        return s;
    return audit_append(db, index_keys(c->ix), &c->entry);
}

static enum status change(struct index *ix, const char *action, const uint8_t id[ID],
                          const char *sql, const struct sql_value *values, size_t n)
{
    char user[32];
    struct change c = {ix, sql, values, n, {audit_by_command(user), action, id, ID, "ok"}, 0};
    enum status s = index_write(ix, apply, &c);
    if (s == STATUS_OK && c.changed == 0)
        return STATUS_NOT_FOUND;
    return index_status(s);
}

enum status apikey_create(struct index *ix, const struct keyring *keys, roles scopes,
                          char text[APIKEY_TEXT + 1])
{
    uint8_t id[ID], secret[SECRET], expected[VERIFIER];
    secret_random(id, ID);
    secret_random(secret, SECRET);
    verifier(keys, id, scopes, secret, expected);
    enum status s =
        change(ix, "key-create", id, "INSERT INTO api_keys (id, scopes, verifier) VALUES (?, ?, ?)",
               SQL(SQL_BLOB(id, ID), SQL_I64(scopes), SQL_BLOB(expected, VERIFIER)));
    struct strbuf key = STRBUF_INIT;
    strbuf_reserve(&key, APIKEY_TEXT);
    strbuf_addstr(&key, prefix);
    hex_encode(&key, id, ID);
    strbuf_addch(&key, '_');
    hex_encode(&key, secret, SECRET);
    memcpy(text, key.bytes, APIKEY_TEXT + 1);
    secret_wipe(key.bytes, key.len);
    secret_wipe(secret, sizeof(secret));
    strbuf_release(&key);
    return s;
}
/* The row's scopes and verifier; zeros when there is none. */
static enum status find(struct index *ix, const uint8_t id[ID], roles *scopes,
                        uint8_t expected[VERIFIER], bool *found)
{
    struct sqlite_rows *rows = NULL;
    *found = false;
    *scopes = 0;
    memset(expected, 0, VERIFIER);
    struct sqlite *db = index_borrow(ix);
    enum status s = sqlite_query(db, "SELECT scopes, verifier FROM api_keys WHERE id = ?",
                                 SQL(SQL_BLOB(id, ID)), &rows);
    if (s == STATUS_OK)
        s = sqlite_next(rows, found);
    if (s == STATUS_OK && *found) {
        size_t len;
        const void *stored = sqlite_blob(rows, 1, &len);
        *scopes = (roles)sqlite_i64(rows, 0);
        *found = len == VERIFIER;
        if (*found)
            memcpy(expected, stored, VERIFIER);
    }
    sqlite_rows_free(rows);
    index_return(ix, db);
    return index_status(s);
}

enum status apikey_check(struct index *ix, const struct keyring *keys, const char *text,
                         char id_text[APIKEY_ID_HEX + 1], roles *scopes)
{
    uint8_t id[ID], secret[SECRET], expected[VERIFIER], given[VERIFIER];
    const char *id_at = text + sizeof(prefix) - 1, *secret_at = id_at + APIKEY_ID_HEX + 1;
    bool found;
    *scopes = 0;
    if (strlen(text) != APIKEY_TEXT || strncmp(text, prefix, sizeof(prefix) - 1) != 0 ||
        strspn(id_at, "0123456789abcdef") != APIKEY_ID_HEX || secret_at[-1] != '_' ||
        hex_decode(id_at, APIKEY_ID_HEX, id, ID) != STATUS_OK ||
        hex_decode(secret_at, 2 * SECRET, secret, SECRET) != STATUS_OK)
        return STATUS_UNAUTHENTICATED;
    memcpy(id_text, id_at, APIKEY_ID_HEX);
    id_text[APIKEY_ID_HEX] = '\0';
    roles granted;
    enum status s = find(ix, id, &granted, expected, &found);
    verifier(keys, id, granted, secret, given);
    bool same = secret_equal(expected, given, VERIFIER);
    secret_wipe(secret, sizeof(secret));
    secret_wipe(given, sizeof(given));
    if (s != STATUS_OK)
        return s;
    if (!(found & same))
        return STATUS_UNAUTHENTICATED;
    *scopes = granted;
    return STATUS_OK;
}

enum status apikey_revoke(struct index *ix, const char *text)
{
    uint8_t id[ID];
    if (strncmp(text, prefix, sizeof(prefix) - 1) == 0)
        text += sizeof(prefix) - 1;
    if (hex_decode(text, strcspn(text, "_"), id, ID) != STATUS_OK)
        return STATUS_NOT_FOUND;
    return change(ix, "key-revoke", id, "DELETE FROM api_keys WHERE id = ?", SQL(SQL_BLOB(id, ID)));
}
