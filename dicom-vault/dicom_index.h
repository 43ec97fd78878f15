/* Which objects are DICOM instances, and how they are found: by HMACs of what identifies patient,
 * study and series (blind indexes); what lists tell is sealed under HKDF-Expand(data key,
 * "dicom-vault dicom row v1") with the object's identity as associated data, and opened for each
 * hit. Blocks: worker threads only. */
#pragma once
#include "dicom_json.h"
#include "index.h"

/* Attributes that a row keeps, when the instance has them; sorted. */
extern const uint32_t dicom_row_tags[];
extern const size_t dicom_row_tags_count;
enum { DICOM_ROW_MAX = 16 * 1024 };

/* The fields that are searched; of SOPInstanceUID instances only. */
enum dicom_field {
    FIELD_STUDY,
    FIELD_SERIES,
    FIELD_PATIENT_ID,
    FIELD_PATIENT_NAME,
    FIELD_ACCESSION,
    FIELD_MODALITY,
    FIELD_STUDY_DATE,
    FIELD_INSTANCE,
    FIELDS
};
/* The field of that tag; FIELDS when it is none. */
enum dicom_field dicom_field_of(uint32_t tag);
/* HMAC of a value as it is compared (names normalised). False for an empty one. */
bool dicom_tag(const struct index *ix, enum dicom_field field, const char *value,
               uint8_t tag[BLIND_TAG]);

/* --- storing --------------------------------------------------------------------------------- */

/* The rows of one instance, to be written with its object: dicom_index_add is an index_with.also
 * whose ctx this is. */
struct dicom_row {
    const struct index *ix;
    const char *attributes; /* JSON */
    size_t len;             /* at most DICOM_ROW_MAX */
    uint8_t tags[FIELDS][BLIND_TAG];
    bool has[FIELDS];
};
/* Fill in tags and has. */
void dicom_row_tag(struct dicom_row *row, const json_t *attributes);
enum status dicom_index_add(struct sqlite *db, void *row, const struct object *o,
                            const uint8_t data_key[KEY_SIZE]);

/* --- searching ------------------------------------------------------------------------------- */

/* MODALITIES: of the studies asked for, series that together have every modality. */
enum dicom_level { STUDIES, SERIES, INSTANCES, MODALITIES };

struct dicom_query {
    enum dicom_level level;
    struct strbuf tags; /* of all fields asked for but SOPInstanceUID; several of a field: any */
    int64_t fields;     /* how many fields these are of */
    struct strbuf instances; /* tags of SOPInstanceUIDs; empty: all. INSTANCES only */
    int64_t limit, offset;   /* limit 0: all */
};
void dicom_query_release(struct dicom_query *q);
/* Ask for this value of this field. */
void dicom_query_add(struct dicom_query *q, const struct index *ix, enum dicom_field field,
                     const char *value);

/* `each` once for each study, series or instance that is there now, in the order in which they
 * came; but for those that are deleted meanwhile. False from it ends the search. `o` and
 * `attributes` are of the first instance. NULL attributes: its row is damaged, or does not answer
 * the query: the tags that led to it were moved. */
enum status dicom_search(struct index *ix, const struct dicom_query *q,
                         bool (*each)(void *ctx, const struct object *o, json_t *attributes),
                         void *ctx);
/* Is what the index has of this instance sound, and found by the tags of what it holds? OK also for
 * an object that is no instance; CORRUPT. */
enum status dicom_check(struct index *ix, const uint8_t id[OBJECT_ID]);
/* How many series and instances a study has, or instances a series (NULL: of any series). */
enum status dicom_count(struct index *ix, const char *study, const char *series, int64_t *n_series,
                        int64_t *n_instances);
