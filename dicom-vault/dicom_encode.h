/* JPEG and PNG out of rows of 8-bit samples, by libjpeg-turbo and libpng. Any thread. */
#pragma once
#include "status.h"
#include "strbuf.h"
#include <stdint.h>

struct picture {
    uint32_t width, height;
    unsigned channels; /* 1: gray, 3: red, green, blue, interleaved */
    /* Write row y, of width * channels bytes; called once for each, from the top. */
    void (*draw)(void *ctx, uint32_t y, uint8_t *row);
    void *ctx;
};

/* Put the whole file into `out`, which is empty after an error: INTERNAL, for what the library
 * refuses. `quality` is 1 to 100. */
enum status encode_jpeg(const struct picture *p, unsigned quality, struct strbuf *out);
enum status encode_png(const struct picture *p, struct strbuf *out);
