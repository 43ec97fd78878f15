/* A picture out of one frame of uncompressed pixel data: window, scaling, JPEG or PNG.
 *
 * Pure: no file, no lock, no memory of earlier calls. What is too large is refused before anything
 * is allocated for it; a picture is made row by row, so that beside the frame and the picture's own
 * bytes only a table of 64 KiB and a few rows are held. All functions: any thread (render takes
 * up to some hundred ms: workers only). What comes compressed is not for here. */
#pragma once
#include "status.h"
#include "strbuf.h"
#include <stdbool.h>
#include <stdint.h>

enum {
    RENDER_SIDE_MAX = 16384,     /* rows or columns of a frame */
    RENDER_FRAME_MAX = 64 << 20, /* bytes of a frame */
    RENDER_VIEWPORT_MAX = 4096,  /* width or height asked for */
    RENDER_THUMBNAIL_SIDE = 160, /* a thumbnail's box, unless another is asked for */
};

enum photometric { MONOCHROME1, MONOCHROME2, RGB };
enum voi_shape { VOI_LINEAR, VOI_LINEAR_EXACT, VOI_SIGMOID }; /* PS3.3, C.11.2.1.2 and .3 */

struct voi {
    double center, width; /* of rescaled values */
    enum voi_shape shape;
};

/* The frame's description, as the elements of the Image Pixel module have it (PS3.3, C.7.6.3);
 * little endian. Values that contradict each other are refused by render_check. */
struct pixels {
    uint32_t rows, columns;
    uint32_t samples;                               /* 1, or 3 for RGB */
    uint32_t bits_allocated, bits_stored, high_bit; /* allocated: 8 or 16 */
    bool is_signed;
    bool planar; /* RGB: all of red, then green, then blue */
    enum photometric photometric;
    double slope, intercept; /* 1 and 0 where there is none; grayscale only, as voi is */
    bool has_voi;            /* else the frame's least and greatest value become black and white */
    struct voi voi;
};

/* What a request wants of it: the query parameters of PS3.18, 8.3.5. */
struct rendering {
    bool png;         /* else JPEG */
    unsigned quality; /* of JPEG, 1 to 100 */
    /* Part of the frame to show, in its pixels; sides 0: up to the edge; negative: mirrored. */
    double x, y, width, height;
    unsigned box_width, box_height; /* scaled to fit into this; 0: as it is */
    bool only_smaller;              /* never scaled up */
    bool has_voi;
    struct voi voi; /* instead of the frame's own */
};
#define RENDERING_DEFAULT ((struct rendering){.quality = 90})
#define RENDERING_THUMBNAIL                                                                        \
    ((struct rendering){.quality = 80,                                                             \
                        .box_width = RENDER_THUMBNAIL_SIDE,                                        \
                        .box_height = RENDER_THUMBNAIL_SIDE,                                       \
                        .only_smaller = true})

/* The value of a query parameter, NUL-terminated. BAD_REQUEST for anything but
 *   viewport  vw,vh or vw,vh,[sx],[sy],[sw],[sh]
 *   window    center,width or center,width,shape: linear, linear-exact or sigmoid
 *   quality   1 to 100
 * which leaves `r` as it was. */
enum status rendering_viewport(const char *value, struct rendering *r);
enum status rendering_window(const char *value, struct rendering *r);
enum status rendering_quality(const char *value, struct rendering *r);

/* Can this be rendered? NOT_ACCEPTABLE if not; `*why` (may be NULL) is then a static text. When it
 * can, `*frame_size` is the length of each frame in bytes, at most RENDER_FRAME_MAX. */
enum status render_check(const struct pixels *px, uint64_t *frame_size, const char **why);

/* A window that has a meaning: finite, and wide enough for its shape. */
bool voi_valid(const struct voi *v);

/* Put the picture into `out`. `len` is the frame's length: less than frame_size is UNPROCESSABLE,
 * more is not looked at. NOT_ACCEPTABLE as of render_check; BAD_REQUEST when the part to show lies
 * outside. `out` is empty after any error. */
enum status render(const struct pixels *px, const uint8_t *frame, size_t len,
                   const struct rendering *r, struct strbuf *out);
