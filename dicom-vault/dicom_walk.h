/* A stored DICOM file, read again for what it says of itself: values that nobody asks for are
 * stepped over and not decrypted. Blocks: worker threads only. */
#pragma once
#include "dicom_json.h"
#include "store.h"

/* Put the object through the parser, up to its end. CORRUPT when it does not parse: it did when it
 * was stored. */
enum status dicom_walk(struct download *d, const struct object *o, struct dicom_parser *p);

/* `len` bytes at `offset`, all of them there. */
enum status dicom_read(struct download *d, uint64_t offset, uint8_t *out, size_t len);

/* Where the pixel data is, and what the elements say of it. */
struct dicom_frames {
    json_t *attributes; /* the Image Pixel module and its like */
    char syntax[DICOM_UID_MAX + 1];
    uint64_t count;
    bool found, encapsulated;
    uint64_t offset, length; /* native */
    struct strbuf fragments; /* of struct dicom_extent; the first is the offset table */
};
struct dicom_extent {
    uint64_t offset, length;
};
enum { DICOM_FRAGMENTS_MAX = 1 << 18 };

enum status dicom_frames_read(struct download *d, const struct object *o, struct dicom_frames *out);
void dicom_frames_release(struct dicom_frames *f);
/* Append the extents of a frame, counted from 1. NOT_FOUND when there is none of that number;
 * NOT_ACCEPTABLE when frames cannot be told apart. */
enum status dicom_frame(const struct dicom_frames *f, struct download *d, uint64_t number,
                        struct strbuf *extents);
