#include "dicom_index.h"
#include "dicom_text.h"
#include "secret.h"
#include <stdlib.h>
#include <string.h>

const uint32_t dicom_row_tags[] = {
    0x00080008, 0x00080016, 0x00080018, 0x00080020, 0x00080021, 0x00080023, 0x00080030, 0x00080031,
    0x00080033, 0x00080050, 0x00080060, 0x00080070, 0x00080080, 0x00080090, 0x00080201, 0x00081030,
    0x0008103E, 0x00100010, 0x00100020, 0x00100030, 0x00100040, 0x00101010, 0x00180015, 0x0020000D,
    0x0020000E, 0x00200010, 0x00200011, 0x00200012, 0x00200013, 0x00280002, 0x00280004, 0x00280008,
    0x00280010, 0x00280011, 0x00280100, 0x00280101, 0x00281050, 0x00281051, 0x00400244, 0x00400245,
};
const size_t dicom_row_tags_count = sizeof(dicom_row_tags) / sizeof(dicom_row_tags[0]);

static const struct {
    uint32_t tag;
    const char *name; /* goes into the HMAC */
} fields[FIELDS] = {
    [FIELD_STUDY] = {0x0020000D, "dicom study"},
    [FIELD_SERIES] = {0x0020000E, "dicom series"},
    [FIELD_PATIENT_ID] = {0x00100020, "dicom patient id"},
    [FIELD_PATIENT_NAME] = {0x00100010, "dicom patient name"},
    [FIELD_ACCESSION] = {0x00080050, "dicom accession number"},
    [FIELD_MODALITY] = {0x00080060, "dicom modality"},
    [FIELD_STUDY_DATE] = {0x00080020, "dicom study date"},
    [FIELD_INSTANCE] = {0x00080018, "dicom instance"},
};

enum dicom_field dicom_field_of(uint32_t tag)
{
    enum dicom_field f = FIELD_STUDY;
    while (f < FIELDS && fields[f].tag != tag)
        f++;
    return f;
}

bool dicom_tag(const struct index *ix, enum dicom_field field, const char *value,
               uint8_t tag[BLIND_TAG])
{
    struct strbuf text = STRBUF_INIT;
    if (field == FIELD_PATIENT_NAME)
        dicom_name_normalise(value, strlen(value), &text);
    else
        strbuf_addstr(&text, value + strspn(value, " "));
    while (text.len > 0 && text.bytes[text.len - 1] == ' ')
        text.len--;
    bool some = text.len > 0;
    if (some)
        index_tag(ix, fields[field].name, text.bytes, text.len, tag);
    strbuf_release(&text);
    return some;
}

/* --- sealed rows ----------------------------------------------------------------------------- */

static void row_key(const uint8_t data_key[KEY_SIZE], uint8_t out[KEY_SIZE])
{
    static const char label[] = "dicom-vault dicom row v1";
    hkdf_expand(data_key, label, sizeof(label) - 1, out, KEY_SIZE);
}

/* Heap bytes, len + SEAL_OVERHEAD of them. */
static uint8_t *seal_row(const struct dicom_row *row, const struct object *o,
                         const uint8_t data_key[KEY_SIZE])
{
    uint8_t key[KEY_SIZE], identity[OBJECT_IDENTITY];
    uint8_t *sealed = xmalloc(row->len + SEAL_OVERHEAD);
    object_identity(keyring_vault_id(index_keys(row->ix)), o->id, identity);
    row_key(data_key, key);
    seal(key, identity, sizeof(identity), (const uint8_t *)row->attributes, row->len, sealed);
    secret_wipe(key, sizeof(key));
    return sealed;
}

/* NULL when it is not what was sealed for that object. */
static json_t *open_row(const struct index *ix, const struct object *o,
                        const uint8_t data_key[KEY_SIZE], const uint8_t *sealed, size_t len)
{
    uint8_t key[KEY_SIZE], identity[OBJECT_IDENTITY];
    struct strbuf why = STRBUF_INIT;
    json_t *attributes = NULL;
    if (len < SEAL_OVERHEAD || len > DICOM_ROW_MAX + SEAL_OVERHEAD)
        return NULL;
    uint8_t *row = xmalloc(len);
    object_identity(keyring_vault_id(index_keys(ix)), o->id, identity);
    row_key(data_key, key);
    if (unseal(key, identity, sizeof(identity), sealed, len, row) == STATUS_OK)
        json_parse(row, len - SEAL_OVERHEAD, &attributes, &why);
    secret_wipe(key, sizeof(key));
    secret_wipe(row, len);
    free(row);
    strbuf_release(&why);
    return attributes;
}

/* --- storing --------------------------------------------------------------------------------- */

/* One hash of which fields there are and all their tags. */
static void same_of(const struct dicom_row *row, uint8_t same[32])
{
    uint8_t all[FIELD_INSTANCE][1 + BLIND_TAG] = {{0}};
    for (size_t f = 0; f < FIELD_INSTANCE; f++) {
        all[f][0] = row->has[f];
        if (row->has[f])
            memcpy(all[f] + 1, row->tags[f], BLIND_TAG);
    }
    secret_sha256(all, sizeof(all), same);
}

void dicom_row_tag(struct dicom_row *row, const json_t *attributes)
{
    for (size_t f = 0; f < FIELDS; f++) {
        const char *value = dicom_json_text(attributes, fields[f].tag);
        if (value)
            row->has[f] = dicom_tag(row->ix, (enum dicom_field)f, value, row->tags[f]);
    }
}

static enum status add_series(struct sqlite *db, const struct dicom_row *row,
                              const uint8_t same[32], int64_t *id)
{
    enum status s =
        sqlite_exec(db, "INSERT INTO dicom_series (same, study, series) VALUES (?, ?, ?)",
                    SQL(SQL_BLOB(same, 32), SQL_BLOB(row->tags[FIELD_STUDY], BLIND_TAG),
                        SQL_BLOB(row->tags[FIELD_SERIES], BLIND_TAG)),
                    NULL);
    *id = sqlite_insert_id(db);
    for (size_t f = 0; f < FIELD_INSTANCE && s == STATUS_OK; f++)
        if (row->has[f])
            s = sqlite_exec(db, "INSERT INTO dicom_tags (tag, series) VALUES (?, ?)",
                            SQL(SQL_BLOB(row->tags[f], BLIND_TAG), SQL_I64(*id)), NULL);
    return s;
}

enum status dicom_index_add(struct sqlite *db, void *ctx, const struct object *o,
                            const uint8_t data_key[KEY_SIZE])
{
    const struct dicom_row *row = ctx;
    uint8_t same[32];
    bool found;
    int64_t series;
    same_of(row, same);
    enum status s = sqlite_query_i64(db, "SELECT id FROM dicom_series WHERE same = ?",
                                     SQL(SQL_BLOB(same, 32)), &found, &series);
    if (s == STATUS_OK && !found)
        s = add_series(db, row, same, &series);
    if (s != STATUS_OK)
        return s;
    uint8_t *sealed = seal_row(row, o, data_key);
    s = sqlite_exec(db, "INSERT INTO dicom_instances (object, series, sealed) VALUES (?, ?, ?)",
                    SQL(SQL_BLOB(o->id, OBJECT_ID), SQL_I64(series),
                        SQL_BLOB(sealed, row->len + SEAL_OVERHEAD)),
                    NULL);
    free(sealed);
    return s;
}

/* --- searching ------------------------------------------------------------------------------- */

/* ?1: tags, ?2: how many, ?3: of how many fields. A series has one tag a field, so that it has as
 * many of them as there are fields exactly when it fits all. */
#define MATCHED                                                                                    \
    "WITH RECURSIVE piece(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM piece WHERE n + 1 < ?2), "   \
    "matched(id) AS (SELECT series FROM dicom_tags "                                               \
    "WHERE tag IN (SELECT substr(?1, 1 + 32 * n, 32) FROM piece) "                                 \
    "GROUP BY series HAVING COUNT(*) = ?3) "
#define IN_MATCHED "series IN (SELECT id FROM matched) "
#define MATCHED_SERIES "(SELECT * FROM matched JOIN dicom_series USING (id))"
/* The first instance of each of the series that `firsts` selects. */
#define FIRST_OF(firsts)                                                                           \
    "SELECT i.object FROM (" firsts " ORDER BY 1 LIMIT ?4 OFFSET ?5) JOIN dicom_instances i "      \
    "ON i.id = (SELECT MIN(id) FROM dicom_instances WHERE series = first) ORDER BY first"
#define EACH(series, what) FIRST_OF("SELECT MIN(s.id) AS first FROM " series " s GROUP BY " what)
/* Series that together have every tag there is, leaving out those of the UIDs. */
#define VARIETY                                                                                    \
    FIRST_OF("SELECT DISTINCT MIN(s.id) AS first FROM " MATCHED_SERIES " s "                       \
             "JOIN dicom_tags t ON t.series = s.id WHERE t.tag NOT IN (s.study, s.series) "        \
             "GROUP BY t.tag")
#define LIST "SELECT object FROM dicom_instances "
/* ?6: tags of instances, ?7: how many */
#define NAMED                                                                                      \
    "object IN (SELECT object FROM once WHERE tag IN (WITH RECURSIVE one(n) AS "                   \
    "(SELECT 0 UNION ALL SELECT n + 1 FROM one WHERE n + 1 < ?7) "                                 \
    "SELECT substr(?6, 1 + 32 * n, 32) FROM one)) "
#define IN_ORDER "ORDER BY id LIMIT ?4 OFFSET ?5"

enum { NAMED_INSTANCES = MODALITIES + 1 };

/* By what is listed, and whether fields are asked for: all there is needs no search. */
static const char *const statements[][2] = {
    [STUDIES] = {EACH("dicom_series", "study"), MATCHED EACH(MATCHED_SERIES, "study")},
    [SERIES] = {EACH("dicom_series", "study, series"),
                MATCHED EACH(MATCHED_SERIES, "study, series")},
    [INSTANCES] = {LIST IN_ORDER, MATCHED LIST "WHERE " IN_MATCHED IN_ORDER},
    [MODALITIES] = {MATCHED VARIETY, MATCHED VARIETY},
    [NAMED_INSTANCES] = {LIST "WHERE " NAMED IN_ORDER,
                         MATCHED LIST "WHERE " IN_MATCHED "AND " NAMED IN_ORDER},
};

/* All ids by one statement: what is stored and deleted meanwhile moves no other. */
static enum status find_hits(struct index *ix, const struct dicom_query *q, struct strbuf *ids)
{
    bool more = true;
    size_t len;
    struct sqlite_rows *rows = NULL;
    struct sqlite *db = index_borrow(ix);
    const struct sql_value values[] = {
        SQL_BLOB(strbuf_cstr(&q->tags), q->tags.len),
        SQL_I64((int64_t)(q->tags.len / BLIND_TAG)),
        SQL_I64(q->fields),
        SQL_I64(q->limit ? q->limit : -1),
        SQL_I64(q->offset),
        SQL_BLOB(strbuf_cstr(&q->instances), q->instances.len),
        SQL_I64((int64_t)(q->instances.len / BLIND_TAG)),
    };
    bool named = q->level == INSTANCES && q->instances.len > 0;
    const char *sql = statements[named ? NAMED_INSTANCES : (int)q->level][q->fields > 0];
    enum status s = sqlite_query(db, sql, values, named ? 7 : 5, &rows);
    while (s == STATUS_OK && (s = sqlite_next(rows, &more)) == STATUS_OK && more) {
        const void *id = sqlite_blob(rows, 0, &len);
        if (len == OBJECT_ID)
            strbuf_add(ids, id, len);
        else
            s = STATUS_CORRUPT;
    }
    sqlite_rows_free(rows);
    index_return(ix, db);
    return index_status(s);
}

static bool has_tag(const struct strbuf *tags, const uint8_t tag[BLIND_TAG])
{
    for (size_t at = 0; at < tags->len; at += BLIND_TAG)
        if (memcmp(tags->bytes + at, tag, BLIND_TAG) == 0)
            return true;
    return false;
}

/* Does what the seal holds answer the query? If not, somebody moved rows or tags on the disk. */
static bool fits(const struct index *ix, const struct dicom_query *q, const json_t *attributes)
{
    int64_t matched = 0;
    for (size_t f = 0; f < FIELDS; f++) {
        uint8_t tag[BLIND_TAG];
        const struct strbuf *asked = f == FIELD_INSTANCE ? &q->instances : &q->tags;
        const char *value = asked->len ? dicom_json_text(attributes, fields[f].tag) : NULL;
        matched += value && dicom_tag(ix, (enum dicom_field)f, value, tag) && has_tag(asked, tag);
    }
    return matched == q->fields + (q->instances.len > 0);
}

/* The instance's sealed row, and what its series says of tags. NOT_FOUND. */
static enum status find_row(struct index *ix, const uint8_t id[OBJECT_ID], struct strbuf *sealed,
                            uint8_t same[32])
{
    size_t len, same_len;
    bool found = false;
    struct sqlite_rows *rows = NULL;
    struct sqlite *db = index_borrow(ix);
    enum status s = sqlite_query(db,
                                 "SELECT sealed, same FROM dicom_instances i JOIN "
                                 "dicom_series s ON s.id = i.series WHERE object = ?",
                                 SQL(SQL_BLOB(id, OBJECT_ID)), &rows);
    if (s == STATUS_OK)
        s = sqlite_next(rows, &found);
    if (s == STATUS_OK && !found)
        s = STATUS_NOT_FOUND;
    if (s == STATUS_OK) {
        const void *row = sqlite_blob(rows, 0, &len), *theirs = sqlite_blob(rows, 1, &same_len);
        if (len <= DICOM_ROW_MAX + SEAL_OVERHEAD && same_len == 32) {
            strbuf_add(sealed, row, len);
            memcpy(same, theirs, 32);
        }
    }
    sqlite_rows_free(rows);
    index_return(ix, db);
    return index_status(s);
}

/* What the row of an object seals: NULL when it is damaged, or not of that object. NOT_FOUND when
 * there is none, any more perhaps. */
static enum status read_row(struct index *ix, const uint8_t id[OBJECT_ID], struct object *o,
                            json_t **attributes, uint8_t same[32])
{
    uint8_t data_key[KEY_SIZE];
    struct strbuf sealed = STRBUF_INIT;
    *attributes = NULL;
    memset(same, 0, 32);
    enum status s = find_row(ix, id, &sealed, same);
    if (s == STATUS_OK)
        s = index_find(ix, id, o, data_key);
    memcpy(o->id, id, OBJECT_ID);
    if (s == STATUS_OK)
        *attributes = open_row(ix, o, data_key, (const uint8_t *)strbuf_cstr(&sealed), sealed.len);
    secret_wipe(data_key, sizeof(data_key));
    strbuf_release(&sealed);
    return s == STATUS_CORRUPT ? STATUS_OK : s;
}

enum status dicom_search(struct index *ix, const struct dicom_query *q,
                         bool (*each)(void *ctx, const struct object *o, json_t *attributes),
                         void *ctx)
{
    struct strbuf ids = STRBUF_INIT;
    bool more = true;
    enum status s = find_hits(ix, q, &ids);
    for (size_t at = 0; s == STATUS_OK && more && at < ids.len; at += OBJECT_ID) {
        struct object o;
        uint8_t same[32];
        json_t *attributes;
        s = read_row(ix, (const uint8_t *)ids.bytes + at, &o, &attributes, same);
        if (s == STATUS_OK)
            more = each(ctx, &o, fits(ix, q, attributes) ? attributes : NULL);
        else if (s == STATUS_NOT_FOUND) /* deleted meanwhile */
            s = STATUS_OK;
        json_decref(attributes);
    }
    strbuf_release(&ids);
    return s;
}

enum status dicom_check(struct index *ix, const uint8_t id[OBJECT_ID])
{
    struct dicom_row row = {.ix = ix};
    struct object o;
    json_t *attributes;
    uint8_t theirs[32], ours[32];
    enum status s = read_row(ix, id, &o, &attributes, theirs);
    if (s == STATUS_OK) {
        dicom_row_tag(&row, attributes);
        same_of(&row, ours);
        s = attributes && memcmp(ours, theirs, 32) == 0 ? STATUS_OK : STATUS_CORRUPT;
    }
    json_decref(attributes);
    return s == STATUS_NOT_FOUND ? STATUS_OK : s;
}

enum status dicom_count(struct index *ix, const char *study, const char *series, int64_t *n_series,
                        int64_t *n_instances)
{
    uint8_t study_tag[BLIND_TAG], series_tag[BLIND_TAG];
    bool found;
    struct sqlite *db;
    *n_series = *n_instances = 0;
    if (!dicom_tag(ix, FIELD_STUDY, study, study_tag) ||
        (series && !dicom_tag(ix, FIELD_SERIES, series, series_tag)))
        return STATUS_OK;
    db = index_borrow(ix);
    const struct sql_value of[] = {SQL_BLOB(study_tag, BLIND_TAG),
                                   series ? SQL_BLOB(series_tag, BLIND_TAG) : SQL_NULL};
    enum status s = sqlite_query_i64(db,
                                     "SELECT COUNT(DISTINCT series) FROM dicom_series "
                                     "WHERE study = ?1 AND series = IFNULL(?2, series)",
                                     of, 2, &found, n_series);
    if (s == STATUS_OK)
        s = sqlite_query_i64(db,
                             "SELECT COUNT(*) FROM dicom_instances WHERE series IN (SELECT id FROM "
                             "dicom_series WHERE study = ?1 AND series = IFNULL(?2, series))",
                             of, 2, &found, n_instances);
    index_return(ix, db);
    return index_status(s);
}

void dicom_query_release(struct dicom_query *q)
{
    strbuf_release(&q->tags);
    strbuf_release(&q->instances);
}

void dicom_query_add(struct dicom_query *q, const struct index *ix, enum dicom_field field,
                     const char *value)
{
    uint8_t tag[BLIND_TAG];
    if (!dicom_tag(ix, field, value, tag))
        memset(tag, 0, sizeof(tag)); /* no value has this one */
    strbuf_add(field == FIELD_INSTANCE ? &q->instances : &q->tags, tag, sizeof(tag));
}
