#include "dicom_json.h"
#include "dicom_text.h"
#include <math.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct dicom_json {
    struct dicom_json_want want;
    size_t elements;
    uint64_t kept;                      /* bytes of the values asked for so far */
    json_t *item[DICOM_DEPTH_MAX + 1];  /* [0] is the data set; borrowed but for it */
    json_t *items[DICOM_DEPTH_MAX + 1]; /* of the sequence that item[n + 1] is in; borrowed */
    enum dicom_charset charset[DICOM_DEPTH_MAX + 1];
    json_t *fragments; /* the attribute of compressed pixel data; borrowed */
    uint64_t fragments_at;
    struct strbuf bulk; /* of struct bulk */
};

/* A value that is told by its place in the file. */
struct bulk {
    json_t *attribute; /* borrowed */
    uint64_t offset, length;
};

/* --- what is wanted -------------------------------------------------------------------------- */

/* Of the element or the sequence of the event, which itself is `depth` sequences deep. */
static bool wanted(const struct dicom_json *j, const struct dicom_event *e, size_t depth)
{
    uint32_t tag = e->tag;
    if (tag >> 16 == 2 || (e->tag & 0xFFFF) == 0) /* file meta, group lengths */
        return false;
    if (!j->item[depth]) /* inside what is not wanted */
        return false;
    if (!j->want.tags)
        return true;
    for (size_t i = 0; depth == 0 && i < j->want.count; i++)
        if (j->want.tags[i] == tag)
            return true;
    return false;
}

static bool is_bytes(const char *vr)
{
    return dicom_vr_in(vr, "OB OD OF OL OV OW UN ");
}

/* --- values ---------------------------------------------------------------------------------- */

static json_t *add_attribute(json_t *to, uint32_t tag, const char *vr)
{
    char name[9];
    json_t *attribute = json_pack("{s:s}", "vr", vr);
    dicom_tag_format(tag, name);
    json_object_set_new(to, name, attribute);
    return attribute;
}

static json_t *values_of(json_t *attribute)
{
    json_t *values = json_object_get(attribute, "Value");
    if (!values) {
        values = json_array();
        json_object_set_new(attribute, "Value", values);
    }
    return values;
}

static json_t *name_json(const char *text)
{
    static const char *const groups[] = {"Alphabetic", "Ideographic", "Phonetic"};
    json_t *name = json_object();
    for (size_t i = 0; i < 3; i++) {
        size_t len = strcspn(text, "=");
        if (len > 0)
            json_object_set_new(name, groups[i], json_stringn(text, len));
        text += len;
        if (!*text)
            break;
        text++;
    }
    return name;
}

/* DS and IS are numbers where they are one, else the text (PS3.18, table F.2.3-1). */
static json_t *decimal_json(const char *text, bool whole)
{
    text += strspn(text, " ");
    size_t len = strspn(text, whole ? "+-0123456789" : "+-.0123456789Ee");
    char *end;
    double value = strtod(text, &end);
    bool number = end == text + len && end[strspn(end, " ")] == '\0' && isfinite(value);
    if (!number || (whole && len > 15)) /* there is no such integer; some readers have doubles */
        return json_string(text);
    return whole ? json_integer((json_int_t)value) : json_real(value);
}

static json_t *text_json(const char *vr, const char *text)
{
    if (!*text)
        return json_null();
    if (dicom_vr_in(vr, "PN "))
        return name_json(text);
    return dicom_vr_in(vr, "DS IS ") ? decimal_json(text, vr[0] == 'I') : json_string(text);
}

static void add_texts(json_t *attribute, const struct dicom_event *e, enum dicom_charset set)
{
    bool one = dicom_vr_in(e->vr, "LT ST UT UR ");
    if (!dicom_vr_in(e->vr, "LO LT PN SH ST UC UT "))
        set = CHARSET_ASCII;
    for (size_t at = 0; at <= e->value_len && e->value_len > 0;) {
        const uint8_t *from = e->value + at;
        size_t left = e->value_len - at;
        const uint8_t *end = one || left == 0 ? NULL : memchr(from, '\\', left);
        size_t len = end ? (size_t)(end - from) : left;
        struct strbuf text = STRBUF_INIT;
        dicom_text(set, from, len, one, &text);
        if (text.len > 0 || end || at > 0)
            json_array_append_new(values_of(attribute), text_json(e->vr, strbuf_cstr(&text)));
        strbuf_release(&text);
        at += len + 1;
    }
}

static json_t *real_json(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}

static json_t *float_json(const uint8_t *in, size_t size)
{
    uint32_t bits = (uint32_t)dicom_le(in, 4);
    uint64_t bits64 = dicom_le(in, size);
    float narrow;
    double wide;
    memcpy(&narrow, &bits, sizeof(narrow));
    memcpy(&wide, &bits64, sizeof(wide));
    return real_json(size == 4 ? (double)narrow : wide);
}

static json_t *tag_json(const uint8_t *in)
{
    char text[9];
    dicom_tag_format((uint32_t)(dicom_le(in, 2) << 16 | dicom_le(in + 2, 2)), text);
    return json_string(text);
}

/* Binary numbers: bytes each, whether signed. */
static const struct number {
    char vr[3];
    size_t size;
    enum { UNSIGNED, SIGNED, FLOAT, TAG } kind;
} numbers[] = {
    {"US", 2, UNSIGNED}, {"SS", 2, SIGNED},   {"UL", 4, UNSIGNED},
    {"SL", 4, SIGNED},   {"UV", 8, UNSIGNED}, {"SV", 8, SIGNED},
    {"FL", 4, FLOAT},    {"FD", 8, FLOAT},    {"AT", 4, TAG},
};

static const struct number *number_of(const char *vr)
{
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
        if (strcmp(numbers[i].vr, vr) == 0)
            return &numbers[i];
    return NULL;
}

static json_t *number_json(const struct number *n, const uint8_t *in)
{
    if (n->kind == FLOAT)
        return float_json(in, n->size);
    if (n->kind == TAG)
        return tag_json(in);
    uint64_t value = dicom_le(in, n->size);
    if (n->kind == UNSIGNED && value > INT64_MAX)
        return json_sprintf("%llu", (unsigned long long)value);
    if (n->kind == SIGNED && n->size < 8 && value >> (8 * n->size - 1))
        value -= UINT64_C(1) << 8 * n->size;
    return json_integer((json_int_t)value);
}

static void add_numbers(json_t *attribute, const struct number *n, const struct dicom_event *e)
{
    for (size_t at = 0; at + n->size <= e->value_len; at += n->size)
        json_array_append_new(values_of(attribute), number_json(n, e->value + at));
}

static void add_bulk(struct dicom_json *j, json_t *attribute, uint64_t offset, uint64_t length)
{
    struct bulk bulk = {attribute, offset, length};
    strbuf_add(&j->bulk, &bulk, sizeof(bulk));
}

static void add_bytes(json_t *attribute, const uint8_t *bytes, size_t len)
{
    unsigned char text[4 * ((DICOM_JSON_BINARY_MAX + 2) / 3) + 1];
    int n = EVP_EncodeBlock(text, bytes, (int)len);
    json_object_set_new(attribute, "InlineBinary", json_stringn((char *)text, (size_t)n));
}

/* In memory a value's JSON is up to 30 times as long, so that all of them together have a bound. */
static size_t keep_for(struct dicom_json *j, const struct dicom_event *e)
{
    size_t most = is_bytes(e->vr) ? DICOM_JSON_BINARY_MAX : DICOM_JSON_TEXT_MAX;
    bool charset = e->tag == DICOM_TAG(8, 5) && e->length <= DICOM_UID_MAX; /* texts need it */
    if (e->length > most || (j->kept + e->length > DICOM_JSON_KEEP_MAX && !charset))
        return 0;
    j->kept += e->length;
    return most;
}

static void add_value(struct dicom_json *j, const struct dicom_event *e)
{
    bool whole = e->value_len == e->length && e->tag != DICOM_TAG(0x7FE0, 0x10);
    if (!whole && !j->want.bulk)
        return;
    json_t *attribute = add_attribute(j->item[e->depth], e->tag, e->vr);
    const struct number *n = number_of(e->vr);
    if (!whole)
        add_bulk(j, attribute, e->offset, e->length);
    else if (is_bytes(e->vr) && e->value_len > 0)
        add_bytes(attribute, e->value, e->value_len);
    else if (n)
        add_numbers(attribute, n, e);
    else if (!is_bytes(e->vr))
        add_texts(attribute, e, j->charset[e->depth]);
}

/* --- events ---------------------------------------------------------------------------------- */

/* False once it is too many. */
static bool count(struct dicom_json *j)
{
    return ++j->elements <= DICOM_JSON_ELEMENTS_MAX;
}

static size_t on_element(struct dicom_json *j, const struct dicom_event *e)
{
    bool sequence =
        dicom_vr_in(e->vr, "SQ ") || (dicom_vr_in(e->vr, "UN ") && e->length == DICOM_UNDEFINED);
    if (!wanted(j, e, e->depth) || !count(j))
        return e->tag == DICOM_TAG(8, 5) ? DICOM_UID_MAX : 0;
    if (sequence && !j->want.tags && e->depth < DICOM_DEPTH_MAX)
        j->items[e->depth] = values_of(add_attribute(j->item[e->depth], e->tag, "SQ"));
    if (sequence)
        return 0;
    if (e->length != DICOM_UNDEFINED)
        return keep_for(j, e);
    j->fragments = add_attribute(j->item[e->depth], e->tag, e->vr);
    j->fragments_at = e->offset;
    return 0;
}

static void on_value(struct dicom_json *j, const struct dicom_event *e)
{
    if (e->tag == DICOM_TAG(8, 5))
        j->charset[e->depth] = dicom_charset(e->value, e->value_len);
    if (wanted(j, e, e->depth) && j->elements <= DICOM_JSON_ELEMENTS_MAX)
        add_value(j, e);
}

static void on_item(struct dicom_json *j, const struct dicom_event *e)
{
    j->charset[e->depth] = j->charset[e->depth - 1];
    j->item[e->depth] = NULL;
    if (j->want.tags || !wanted(j, e, e->depth - 1) || !count(j)) /* no wanted tag is a sequence */
        return;
    j->item[e->depth] = json_object();
    json_array_append_new(j->items[e->depth - 1], j->item[e->depth]);
}

/* Of a sequence, whose place is one level up by now, or of fragments. */
static void on_end(struct dicom_json *j, const struct dicom_event *e)
{
    if (!j->fragments)
        return;
    if (j->want.bulk)
        add_bulk(j, j->fragments, j->fragments_at, e->offset - j->fragments_at);
    j->fragments = NULL;
}

size_t dicom_json_tap(void *ctx, const struct dicom_event *e)
{
    struct dicom_json *j = ctx;
    switch (e->kind) {
    case DICOM_ELEMENT:
        return on_element(j, e);
    case DICOM_VALUE:
        on_value(j, e);
        break;
    case DICOM_ITEM:
        on_item(j, e);
        break;
    case DICOM_SEQUENCE_END:
        on_end(j, e);
        break;
    case DICOM_ITEM_END:
    case DICOM_FRAGMENT:
        break;
    }
    return 0;
}

struct dicom_json *dicom_json_new(const struct dicom_json_want *want)
{
    struct dicom_json *j = xcalloc(1, sizeof(*j));
    j->want = *want;
    j->item[0] = json_object();
    return j;
}

void dicom_json_free(struct dicom_json *j)
{
    if (!j)
        return;
    json_decref(j->item[0]);
    strbuf_release(&j->bulk);
    free(j);
}

void dicom_json_link(struct dicom_json *j, const char *prefix)
{
    for (size_t at = 0; at < j->bulk.len; at += sizeof(struct bulk)) {
        struct bulk bulk;
        struct strbuf uri = STRBUF_INIT;
        memcpy(&bulk, j->bulk.bytes + at, sizeof(bulk));
        strbuf_addf(&uri, "%s%llu-%llu", prefix, (unsigned long long)bulk.offset,
                    (unsigned long long)bulk.length);
        json_object_set_new(bulk.attribute, "BulkDataURI", json_string(strbuf_cstr(&uri)));
        strbuf_release(&uri);
    }
    strbuf_reset(&j->bulk);
}

json_t *dicom_json_take(struct dicom_json *j)
{
    return j->elements > DICOM_JSON_ELEMENTS_MAX ? NULL : json_incref(j->item[0]);
}

/* --- attributes ------------------------------------------------------------------------------ */

void dicom_tag_format(uint32_t tag, char out[9])
{
    snprintf(out, 9, "%08X", tag);
}

static const json_t *first_value(const json_t *attributes, uint32_t tag)
{
    char name[9];
    dicom_tag_format(tag, name);
    const json_t *values = json_object_get(json_object_get(attributes, name), "Value");
    const json_t *first = json_array_get(values, 0);
    return json_is_object(first) ? json_object_get(first, "Alphabetic") : first;
}

const char *dicom_json_text(const json_t *attributes, uint32_t tag)
{
    return json_string_value(first_value(attributes, tag));
}

double dicom_json_number(const json_t *attributes, uint32_t tag, double fallback)
{
    const json_t *value = first_value(attributes, tag);
    return json_is_number(value) ? json_number_value(value) : fallback;
}

void dicom_json_set(json_t *attributes, uint32_t tag, const char *vr, const char *value)
{
    json_t *attribute = add_attribute(attributes, tag, vr);
    if (value)
        json_array_append_new(values_of(attribute), json_string(value));
}

void dicom_json_set_int(json_t *attributes, uint32_t tag, const char *vr, int64_t value)
{
    json_array_append_new(values_of(add_attribute(attributes, tag, vr)), json_integer(value));
}
