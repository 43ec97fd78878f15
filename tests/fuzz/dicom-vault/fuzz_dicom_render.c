/* A description (16 bytes), a line of query parameters, and the rest as the frame, which stands at
 * the end of its memory. Whatever comes out is a whole JPEG or PNG. */
#include "../fuzz.h"
#include "dicom_render.h"
#include <string.h>

enum { DESCRIPTION = 16 };

static struct pixels describe(const uint8_t *b)
{
    static const double slopes[] = {1, -1, 0, 1e308, 0.001, 2, -1e-300, 1e5};
    return (struct pixels){
        .rows = (uint32_t)b[0] << (b[1] % 9),
        .columns = (uint32_t)b[2] << (b[3] % 9),
        .samples = b[4] % 5,
        .bits_allocated = b[5] & 128 ? b[5]
                          : b[5] & 1 ? 8
                                     : 16,
        .bits_stored = b[6] % 20,
        .high_bit = b[7] % 20,
        .is_signed = b[8] & 1,
        .planar = b[8] & 2,
        .has_voi = b[8] & 4,
        .photometric = (enum photometric)(b[9] % 3),
        .slope = slopes[b[10] % 8],
        .intercept = b[11] * slopes[b[12] % 8],
        .voi = {b[13] - 128, b[14] * slopes[b[14] % 8], (enum voi_shape)(b[15] % 3)},
    };
}

/* "v..." viewport, "w..." window, "q..." quality, "p" PNG. */
static void ask(const char *text, struct rendering *r)
{
    char *copy = strdup(text), *rest = copy, *word;
    while ((word = strsep(&rest, "&"))) {
        if (*word == 'v')
            rendering_viewport(word + 1, r);
        else if (*word == 'w')
            rendering_window(word + 1, r);
        else if (*word == 'q')
            rendering_quality(word + 1, r);
        else
            r->png |= *word == 'p';
    }
    free(copy);
}

static void must_be_whole(const struct rendering *r, const struct strbuf *file)
{
    const char *begin = r->png ? "\x89PNG\r\n" : "\xff\xd8",
               *end = r->png ? "\xae\x42\x60\x82" : "\xff\xd9";
    require(file->len > 8 && memcmp(file->bytes, begin, strlen(begin)) == 0 &&
            memcmp(file->bytes + file->len - strlen(end), end, strlen(end)) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    struct rendering r = RENDERING_DEFAULT;
    struct strbuf file = STRBUF_INIT;
    char query[64] = "";
    uint64_t size = 0;
    if (len < DESCRIPTION)
        return 0;
    struct pixels px = describe(bytes);
    bytes += DESCRIPTION;
    len -= DESCRIPTION;
    const uint8_t *line = memchr(bytes, '\n', len < sizeof(query) ? len : sizeof(query) - 1);
    if (line) {
        memcpy(query, bytes, (size_t)(line - bytes));
        len -= (size_t)(line + 1 - bytes);
        bytes = line + 1;
    }
    ask(query, &r);
    /* Small pictures: the fuzzer's time is for what is odd in them. */
    r.box_width %= 300;
    r.box_height %= 300;
    uint8_t *frame = memcpy(malloc(len + !len), bytes, len);
    bool fits = render_check(&px, &size, NULL) == STATUS_OK && len >= size;
    enum status s = render(&px, frame, len, &r, &file);
    require(fits ? s == STATUS_OK || s == STATUS_BAD_REQUEST : s != STATUS_OK);
    require((s == STATUS_OK) == (file.len > 0));
    if (s == STATUS_OK)
        must_be_whole(&r, &file);
    free(frame);
    strbuf_release(&file);
    return 0;
}
