/* The query of a QIDO-RS search (PS3.18, 8.3.4), as far as blind indexes can answer it: equality,
 * and a closed range of days, which is that many equalities. Any thread. */
#pragma once
#include "dicom_index.h"

enum { QIDO_LIMIT_MAX = 1000, QIDO_VALUES_MAX = 64, QIDO_DAYS_MAX = 366 };

struct qido {
    int64_t limit, offset;
    struct strbuf values[FIELDS]; /* NUL-terminated ones, one behind the other; none: not asked */
    bool untold;                  /* there is something in includefield that lists do not tell */
};

/* `query` as it came over the wire. BAD_REQUEST with the reason in `why`. */
enum status qido_parse(const char *query, enum dicom_level level, struct qido *out,
                       struct strbuf *why);
void qido_release(struct qido *q);
/* Do lists of that level tell this attribute, if there is one? Of instances all that rows
 * keep. */
bool qido_tells(enum dicom_level level, uint32_t tag);
/* Add its criteria to those that are there. */
void qido_ask(const struct qido *q, const struct index *ix, struct dicom_query *to);
/* Append the days from..to, both YYYYMMDD, as values; false for anything else, or more than
 * QIDO_DAYS_MAX. */
bool qido_days(const char *from, const char *to, struct strbuf *values);
