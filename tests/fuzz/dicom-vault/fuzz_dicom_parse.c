/* The parser: any bytes, in pieces of any size, give the same events; values are never longer than
 * asked for, ends match beginnings, and skipping what may be skipped changes nothing. */
#include "../fuzz.h"
#include "dicom_parse.h"
#include <string.h>

struct seen {
    uint64_t sum;
    size_t open; /* items and sequences */
    size_t keep;
};

static size_t tap(void *ctx, const struct dicom_event *e)
{
    struct seen *seen = ctx;
    require(e->depth <= DICOM_DEPTH_MAX && e->value_len <= seen->keep && strlen(e->vr) == 2);
    seen->sum = seen->sum * 31 + e->kind * 7 + e->tag + e->offset + e->depth + e->value_len;
    for (size_t i = 0; i < e->value_len; i++)
        seen->sum = seen->sum * 31 + e->value[i];
    seen->open += e->kind == DICOM_ITEM;
    require(e->kind != DICOM_ITEM_END || seen->open-- > 0);
    return seen->keep;
}

static enum status parse(const uint8_t *bytes, size_t len, size_t piece, bool skip,
                         struct seen *seen)
{
    struct dicom_parser *p = dicom_parser_new(tap, seen);
    enum status s = STATUS_OK;
    for (size_t at = 0; at < len && s == STATUS_OK;) {
        uint64_t over = skip ? dicom_skippable(p) : 0;
        size_t n = over < len - at ? (size_t)over : len - at;
        if (n > 0) {
            dicom_skip(p, n);
        } else {
            n = piece < len - at ? piece : len - at;
            s = dicom_push(p, bytes + at, n);
        }
        at += n;
    }
    if (s == STATUS_OK)
        s = dicom_finish(p);
    require((s == STATUS_OK) == !*dicom_why(p) && strlen(dicom_why(p)) <= 64);
    require(s != STATUS_OK || seen->open == 0);
    dicom_parser_free(p);
    return s;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    size_t keep = len > 0 ? bytes[0] : 0;
    struct seen whole = {.keep = keep}, pieces = {.keep = keep}, skipped = {.keep = keep};
    enum status s = parse(bytes, len, len, false, &whole);
    require(parse(bytes, len, 1 + keep % 7, false, &pieces) == s && pieces.sum == whole.sum);
    require(parse(bytes, len, 13, true, &skipped) == s && skipped.sum == whole.sum);
    return 0;
}
