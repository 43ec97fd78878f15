#include "dicomweb_query.h"
#include "dicom_dict.h"
#include "dicom_text.h"
#include "router.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct criterion {
    const char *keyword, *tag;
    enum dicom_field field;
    enum dicom_level from, to; /* the lists it can be asked of */
} criteria[] = {
    {"StudyInstanceUID", "0020000D", FIELD_STUDY, STUDIES, INSTANCES},
    {"SeriesInstanceUID", "0020000E", FIELD_SERIES, SERIES, INSTANCES},
    {"SOPInstanceUID", "00080018", FIELD_INSTANCE, INSTANCES, INSTANCES},
    {"PatientID", "00100020", FIELD_PATIENT_ID, STUDIES, INSTANCES},
    {"PatientName", "00100010", FIELD_PATIENT_NAME, STUDIES, INSTANCES},
    {"AccessionNumber", "00080050", FIELD_ACCESSION, STUDIES, INSTANCES},
    {"StudyDate", "00080020", FIELD_STUDY_DATE, STUDIES, INSTANCES},
    {"ModalitiesInStudy", "00080061", FIELD_MODALITY, STUDIES, STUDIES},
    {"Modality", "00080060", FIELD_MODALITY, SERIES, INSTANCES},
};
enum { CRITERIA = sizeof(criteria) / sizeof(criteria[0]) };

static enum status bad(struct strbuf *why, const char *name, const char *text)
{
    strbuf_addf(why, "%s: %s", name, text);
    return STATUS_BAD_REQUEST;
}

/* --- what lists tell ------------------------------------------------------------------------- */

static const uint32_t study_tags[] = {
    0x00080005, 0x00080020, 0x00080030, 0x00080050, 0x00080056, 0x00080061, 0x00080090,
    0x00080201, 0x00081030, 0x00081190, 0x00100010, 0x00100020, 0x00100030, 0x00100040,
    0x00101010, 0x0020000D, 0x00200010, 0x00201206, 0x00201208,
};
static const uint32_t series_tags[] = {
    0x00080021, 0x00080031, 0x00080060, 0x00080070, 0x00080080, 0x0008103E,
    0x00180015, 0x0020000E, 0x00200011, 0x00201209, 0x00400244, 0x00400245,
};

static bool among(const uint32_t *tags, size_t n, uint32_t tag)
{
    for (size_t i = 0; i < n; i++)
        if (tags[i] == tag)
            return true;
    return false;
}

bool qido_tells(enum dicom_level level, uint32_t tag)
{
    if (level == INSTANCES &&
        (tag == 0x00083002 || among(dicom_row_tags, dicom_row_tags_count, tag)))
        return true;
    if (among(study_tags, sizeof(study_tags) / sizeof(study_tags[0]), tag))
        return true;
    return level == SERIES && among(series_tags, sizeof(series_tags) / sizeof(series_tags[0]), tag);
}

/* --- days ------------------------------------------------------------------------------------ */

static bool leap(int year)
{
    return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

struct day {
    int year, month, day;
};

static bool day_parse(const char *text, struct day *out)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    if (strlen(text) != 8 || strspn(text, "0123456789") != 8)
        return false;
    int number = (int)strtol(text, NULL, 10);
    *out = (struct day){number / 10000, number / 100 % 100, number % 100};
    if (out->month < 1 || out->month > 12)
        return false;
    int last = days[out->month - 1] + (out->month == 2 && leap(out->year));
    return out->day >= 1 && out->day <= last;
}

static void day_format(const struct day *d, char out[32])
{
    snprintf(out, 32, "%04d%02d%02d", d->year, d->month, d->day);
}

/* The next day there is. */
static void day_step(struct day *d)
{
    char text[32];
    struct day ignored;
    do {
        d->day = d->day % 31 + 1;
        d->month += d->day == 1;
        d->year += d->month == 13;
        d->month = d->month == 13 ? 1 : d->month;
        day_format(d, text);
    } while (!day_parse(text, &ignored));
}

bool qido_days(const char *from, const char *to, struct strbuf *values)
{
    struct day day, last;
    if (!day_parse(to, &last) || !day_parse(from, &day) || strcmp(from, to) > 0)
        return false;
    for (int n = 0; n < QIDO_DAYS_MAX; n++) {
        char text[32];
        day_format(&day, text);
        strbuf_add(values, text, 9);
        if (strcmp(text, to) == 0)
            return true;
        day_step(&day);
    }
    return false;
}

static enum status take_dates(const char *name, const char *value, struct strbuf *values,
                              struct strbuf *why)
{
    char from[9], to[9];
    const char *dash = strchr(value, '-');
    size_t len = dash ? (size_t)(dash - value) : strlen(value);
    snprintf(from, sizeof(from), "%.*s", (int)len, value);
    snprintf(to, sizeof(to), "%s", dash ? dash + 1 : from);
    if (len == 8 && (!dash || strlen(dash + 1) == 8) && qido_days(from, to, values))
        return STATUS_OK;
    return bad(why, name,
               "a blind index answers a day, YYYYMMDD, or a closed range of at most 366 days");
}

/* --- values ---------------------------------------------------------------------------------- */

static enum status take_uids(const char *name, char *value, struct strbuf *values,
                             struct strbuf *why)
{
    char *rest = NULL;
    size_t n = 0;
    for (char *uid = strtok_r(value, ",\\", &rest); uid; uid = strtok_r(NULL, ",\\", &rest)) {
        if (!dicom_uid_valid(uid) || ++n > QIDO_VALUES_MAX)
            return bad(why, name, "want UIDs, at most 64, by comma");
        strbuf_add(values, uid, strlen(uid) + 1);
    }
    return n ? STATUS_OK : bad(why, name, "want UIDs, at most 64, by comma");
}

/* An empty value and "*" match everything (PS3.4, C.2.2.2.3). */
static enum status take_value(const struct criterion *c, const struct strbuf *text, struct qido *q,
                              struct strbuf *why)
{
    char *value = text->bytes;
    struct strbuf *values = &q->values[c->field];
    if (text->len == 0 || strcmp(value, "*") == 0)
        return STATUS_OK;
    if (values->len > 0)
        return bad(why, c->keyword, "twice");
    if (strlen(value) != text->len || text->len > 1024)
        return bad(why, c->keyword, "too long");
    if (c->field == FIELD_STUDY || c->field == FIELD_SERIES || c->field == FIELD_INSTANCE)
        return take_uids(c->keyword, value, values, why);
    if (c->field == FIELD_STUDY_DATE)
        return take_dates(c->keyword, value, values, why);
    if (strpbrk(value, "*?\\"))
        return bad(why, c->keyword, "a blind index answers whole values only: no * or ?");
    strbuf_add(values, value, text->len + 1);
    return STATUS_OK;
}

static enum status take_includes(char *value, enum dicom_level level, struct qido *q)
{
    char *rest = NULL;
    for (char *name = strtok_r(value, ",", &rest); name; name = strtok_r(NULL, ",", &rest)) {
        bool hex = strlen(name) == 8 && strspn(name, "0123456789abcdefABCDEF") == 8;
        const struct dicom_entry *entry = dicom_by_keyword(name);
        uint32_t tag = hex ? (uint32_t)strtoul(name, NULL, 16) : entry ? entry->tag : 0;
        q->untold = q->untold || (strcmp(name, "all") != 0 && !qido_tells(level, tag));
    }
    return STATUS_OK;
}

static enum status take_number(const char *name, const char *value, int64_t min, int64_t max,
                               int64_t *out, struct strbuf *why)
{
    size_t len = strlen(value);
    *out =
        len > 0 && len < 16 && strspn(value, "0123456789") == len ? strtoll(value, NULL, 10) : -1;
    return *out >= min && *out <= max ? STATUS_OK : bad(why, name, "not a number in its range");
}

/* --- the query ------------------------------------------------------------------------------- */

/* Is `pair` one of `name`? Then its value, decoded. */
static bool is_pair(const char *pair, const char *name, struct strbuf *value, enum status *s)
{
    bool found = false;
    strbuf_reset(value);
    *s = query_get(pair, name, value, &found);
    strbuf_add(value, "", 0); /* NUL-terminated */
    return found || *s != STATUS_OK;
}

static enum status take_criterion(const char *pair, enum dicom_level level, struct qido *q,
                                  struct strbuf *value, struct strbuf *why)
{
    enum status s;
    for (size_t i = 0; i < CRITERIA; i++) {
        const struct criterion *c = &criteria[i];
        if (!is_pair(pair, c->keyword, value, &s) && !is_pair(pair, c->tag, value, &s))
            continue;
        if (s != STATUS_OK)
            return bad(why, c->keyword, "badly encoded");
        if (level < c->from || level > c->to)
            return bad(why, c->keyword,
                       level < c->from ? "of a finer list than this one"
                                       : "of lists of studies only");
        return take_value(c, value, q, why);
    }
    return bad(why, "query",
               "what can be searched for is StudyInstanceUID, SeriesInstanceUID, SOPInstanceUID, "
               "PatientID, PatientName, AccessionNumber, StudyDate, Modality, ModalitiesInStudy");
}

static enum status take_pair(const char *pair, enum dicom_level level, struct qido *q,
                             struct strbuf *value, struct strbuf *why)
{
    enum status s;
    if (is_pair(pair, "limit", value, &s) && s == STATUS_OK)
        return take_number("limit", strbuf_cstr(value), 1, QIDO_LIMIT_MAX, &q->limit, why);
    if (is_pair(pair, "offset", value, &s) && s == STATUS_OK)
        return take_number("offset", strbuf_cstr(value), 0, INT64_C(1) << 40, &q->offset, why);
    if (is_pair(pair, "includefield", value, &s) && s == STATUS_OK)
        return take_includes(value->bytes, level, q);
    if (is_pair(pair, "fuzzymatching", value, &s) && s == STATUS_OK)
        return strcmp(strbuf_cstr(value), "false") == 0
                   ? STATUS_OK
                   : bad(why, "fuzzymatching", "a blind index answers whole values only");
    return take_criterion(pair, level, q, value, why);
}

enum status qido_parse(const char *query, enum dicom_level level, struct qido *out,
                       struct strbuf *why)
{
    enum status s = STATUS_OK;
    struct strbuf pair = STRBUF_INIT, value = STRBUF_INIT;
    *out = (struct qido){.limit = 100};
    while (s == STATUS_OK && *query) {
        size_t len = strcspn(query, "&");
        strbuf_reset(&pair);
        for (size_t i = 0; i < len; i++) /* as forms and most clients have it */
            strbuf_addstr(&pair, query[i] == '+' ? "%20" : (const char[]){query[i], '\0'});
        if (len > 0)
            s = take_pair(pair.bytes, level, out, &value, why);
        query += len + (query[len] == '&');
    }
    strbuf_release(&pair);
    strbuf_release(&value);
    return s;
}

void qido_release(struct qido *q)
{
    for (size_t f = 0; f < FIELDS; f++)
        strbuf_release(&q->values[f]);
}

void qido_ask(const struct qido *q, const struct index *ix, struct dicom_query *to)
{
    for (size_t f = 0; f < FIELDS; f++) {
        const struct strbuf *values = &q->values[f];
        for (size_t at = 0; at < values->len; at += strlen(values->bytes + at) + 1)
            dicom_query_add(to, ix, (enum dicom_field)f, values->bytes + at);
        to->fields += values->len > 0 && f != FIELD_INSTANCE;
    }
}
