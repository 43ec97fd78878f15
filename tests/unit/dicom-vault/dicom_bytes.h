/* DICOM files made by hand, for the tests. */
#pragma once
#include "dicom_parse.h"
#include "strbuf.h"

#define IMPLICIT_LE "1.2.840.10008.1.2"
#define EXPLICIT_LE "1.2.840.10008.1.2.1"
#define JPEG_BASELINE "1.2.840.10008.1.2.4.50"

static inline void add_le(struct strbuf *out, uint64_t value, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        strbuf_addch(out, (char)(value >> 8 * i));
}

static inline void add_tag(struct strbuf *out, uint32_t tag)
{
    add_le(out, tag >> 16, 2);
    add_le(out, tag & 0xFFFF, 2);
}

/* A head of implicit VR, or of an item or a delimiter. */
static inline void add_head(struct strbuf *out, uint32_t tag, uint32_t length)
{
    add_tag(out, tag);
    add_le(out, length, 4);
}

static inline void add_short(struct strbuf *out, uint32_t tag, const char *vr, const char *value)
{
    size_t len = strlen(value);
    add_tag(out, tag);
    strbuf_add(out, vr, 2);
    add_le(out, len, 2);
    strbuf_add(out, value, len);
}

static inline void add_long(struct strbuf *out, uint32_t tag, const char *vr, uint32_t length)
{
    add_tag(out, tag);
    strbuf_add(out, vr, 2);
    add_le(out, 0, 2);
    add_le(out, length, 4);
}

static inline void add_start(struct strbuf *out, const char *syntax)
{
    for (int i = 0; i < 128; i++)
        strbuf_addch(out, 'x');
    strbuf_addstr(out, "DICM");
    add_short(out, DICOM_TAG(2, 0x10), "UI", syntax);
}
#define ITEM DICOM_TAG(0xFFFE, 0xE000)
#define ITEM_END DICOM_TAG(0xFFFE, 0xE00D)
#define SEQUENCE_END DICOM_TAG(0xFFFE, 0xE0DD)
