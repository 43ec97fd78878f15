/* The DICOM JSON Model (PS3.18, annex F) of what a parser tells. Any thread; one thread a builder.
 */
#pragma once
#include "dicom_parse.h"
#include "json.h"

struct dicom_json_want {
    /* Which elements of the data set itself to take, sorted; NULL: all, and those in sequences. */
    const uint32_t *tags;
    size_t count;
    bool bulk; /* note values that are too long to stand here, for dicom_json_link; else left out */
};
enum {
    DICOM_JSON_ELEMENTS_MAX = 1 << 17, /* taken, items included */
    DICOM_JSON_BINARY_MAX = 1024,      /* bytes of one value that stands here */
    DICOM_JSON_TEXT_MAX = 8192,
    DICOM_JSON_KEEP_MAX = 1 << 20, /* bytes of all of them */
};

struct dicom_json;
struct dicom_json *dicom_json_new(const struct dicom_json_want *want);
void dicom_json_free(struct dicom_json *j); /* NULL is fine */
dicom_tap dicom_json_tap;                   /* its ctx is the builder */
/* Give every value that was noted its BulkDataURI: "<prefix><offset>-<length>" in the file. */
void dicom_json_link(struct dicom_json *j, const char *prefix);
/* What there is so far, once the parser is at the end of the data set; the caller's to decref. NULL
 * when there were more than DICOM_JSON_ELEMENTS_MAX elements. */
json_t *dicom_json_take(struct dicom_json *j);

/* "00100010" */
void dicom_tag_format(uint32_t tag, char out[9]);
/* The first value of an attribute as text (a name's alphabetic part); NULL when there is none. */
const char *dicom_json_text(const json_t *attributes, uint32_t tag);
/* The first value as a number, whether it stands as a number or as text; `fallback` otherwise. */
double dicom_json_number(const json_t *attributes, uint32_t tag, double fallback);
/* An attribute with one text or number; empty for NULL. */
void dicom_json_set(json_t *attributes, uint32_t tag, const char *vr, const char *value);
void dicom_json_set_int(json_t *attributes, uint32_t tag, const char *vr, int64_t value);
