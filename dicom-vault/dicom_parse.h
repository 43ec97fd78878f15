/* DICOM Part 10 files (PS3.5, PS3.10), element by element, while their bytes stream in.
 *
 * Nothing is allocated by a length that the file tells: of a value only what the caller asks to
 * keep is held, and no more than came. Nesting is bounded. Explicit and implicit VR little endian
 * are read, compressed pixel data as fragments. Big endian, deflated and GE's private mixed-endian
 * files are refused (UNSUPPORTED_MEDIA) once their file meta group is read: nothing could be
 * indexed of what is not parsed. Pure: any thread; a parser belongs to one thread at a time. */
#pragma once
#include "status.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    DICOM_DEPTH_MAX = 16,     /* sequences inside each other */
    DICOM_KEEP_MAX = 1 << 16, /* bytes kept of one value */
    DICOM_UID_MAX = 64,
};
#define DICOM_UNDEFINED UINT32_MAX
#define DICOM_TAG(group, element) ((uint32_t)(group) << 16 | (element))

/* `size` bytes (up to 8), little endian. */
uint64_t dicom_le(const uint8_t *in, size_t size);
/* Is that VR in a list such as "OB OW "? */
bool dicom_vr_in(const char vr[3], const char *list);

/* Which item of which sequence one is in. */
struct dicom_step {
    uint32_t tag;
    uint32_t item; /* from 0 */
};

enum dicom_kind {
    DICOM_ELEMENT,      /* an element's head; the answer says how many bytes of its value to keep */
    DICOM_VALUE,        /* its value ended: `value` is what was kept of it */
    DICOM_ITEM,         /* an item of the innermost sequence (see `path`) begins */
    DICOM_ITEM_END,     /* and ends */
    DICOM_SEQUENCE_END, /* of a sequence, or of the fragments of pixel data */
    DICOM_FRAGMENT,     /* of compressed pixel data; the first one is the offset table */
};

struct dicom_event {
    enum dicom_kind kind;
    uint32_t tag;    /* of the element, or of the sequence that the rest is in */
    char vr[3];      /* as the file has it or, in implicit VR, as the dictionary does */
    uint32_t length; /* as told; DICOM_UNDEFINED for some sequences and fragments */
    uint64_t offset; /* of the value or fragment, in the file */
    size_t depth;    /* steps of `path` */
    const struct dicom_step *path;
    const uint8_t *value; /* DICOM_VALUE only, valid inside the call */
    size_t value_len;
};

/* Returns the bytes to keep (at most DICOM_KEEP_MAX are) for DICOM_ELEMENT; otherwise ignored. A
 * sequence's or fragments' element has no DICOM_VALUE. */
typedef size_t dicom_tap(void *ctx, const struct dicom_event *e);

struct dicom_parser;
struct dicom_parser *dicom_parser_new(dicom_tap *tap, void *ctx);
void dicom_parser_free(struct dicom_parser *p); /* NULL is fine */
/* The next bytes of the file. UNPROCESSABLE for what is no DICOM file or a damaged one,
 * UNSUPPORTED_MEDIA for an encoding that is not read; the same ever after. */
enum status dicom_push(struct dicom_parser *p, const uint8_t *bytes, size_t len);
/* The file ends here; UNPROCESSABLE when it may not. */
enum status dicom_finish(struct dicom_parser *p);
/* How many of the next bytes are only counted, and count them without seeing them: for a reader
 * that can seek. `n` at most dicom_skippable. */
uint64_t dicom_skippable(const struct dicom_parser *p);
void dicom_skip(struct dicom_parser *p, uint64_t n);
uint64_t dicom_position(const struct dicom_parser *p); /* bytes so far */
/* The transfer syntax's UID; "" until the file meta group is over. */
const char *dicom_transfer_syntax(const struct dicom_parser *p);
/* Why it failed; static text, at most 64 characters. */
const char *dicom_why(const struct dicom_parser *p);
