#include "dicom_render.h"
#include "dicom_encode.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* --- what can be rendered -------------------------------------------------------------------- */

static const char *unfit(const struct pixels *px)
{
    bool color = px->photometric == RGB;
    if (px->rows < 1 || px->rows > RENDER_SIDE_MAX || px->columns < 1 ||
        px->columns > RENDER_SIDE_MAX)
        return "it has no rows or columns, or too many";
    if (px->samples != (color ? 3 : 1))
        return "samples per pixel and photometric interpretation contradict each other";
    if (px->bits_allocated != 8 && px->bits_allocated != 16)
        return "only 8 and 16 bits a sample are rendered";
    if (px->bits_stored < 1 || px->bits_stored > px->bits_allocated ||
        px->high_bit >= px->bits_allocated || px->high_bit + 1 < px->bits_stored)
        return "bits allocated, bits stored and high bit contradict each other";
    if (color && px->is_signed)
        return "colors are signed";
    if ((uint64_t)px->rows * px->columns * px->samples * (px->bits_allocated / 8) >
        RENDER_FRAME_MAX)
        return "a frame of it is too large to be rendered";
    return NULL;
}

enum status render_check(const struct pixels *px, uint64_t *frame_size, const char **why)
{
    const char *reason = unfit(px);
    if (why)
        *why = reason;
    if (reason)
        return STATUS_NOT_ACCEPTABLE;
    *frame_size = (uint64_t)px->rows * px->columns * px->samples * (px->bits_allocated / 8);
    return STATUS_OK;
}

/* --- from a stored value to 0 to 255 --------------------------------------------------------- */

struct painter {
    const struct pixels *px;
    const uint8_t *frame;
    size_t pixel_step, channel_step; /* in samples */
    uint8_t *shade;                  /* of each stored value */
    uint32_t *columns, *rows;        /* where in the frame each of the picture's begins; the end */
    bool mirror_x, mirror_y;
    uint32_t width, height; /* of the picture */
    uint64_t *sums;         /* of a row of the picture */
};

/* The stored bits of a sample, without its sign. */
static uint32_t stored(const struct painter *p, size_t at)
{
    const struct pixels *px = p->px;
    uint32_t value = px->bits_allocated == 8
                         ? p->frame[at]
                         : (uint32_t)p->frame[2 * at] | (uint32_t)p->frame[2 * at + 1] << 8;
    return value >> (px->high_bit + 1 - px->bits_stored) & ((1U << px->bits_stored) - 1);
}

static double rescaled(const struct pixels *px, uint32_t value)
{
    int32_t number = (int32_t)value;
    if (px->is_signed && value >> (px->bits_stored - 1))
        number -= (int32_t)(1U << px->bits_stored);
    return number * px->slope + px->intercept;
}

/* From the frame's least to its greatest value. */
static struct voi full_range(const struct painter *p)
{
    const struct pixels *px = p->px;
    uint32_t sign = px->is_signed ? 1U << (px->bits_stored - 1) : 0; /* flipped, values sort */
    uint32_t least = UINT32_MAX, greatest = 0;
    for (size_t i = 0; i < (size_t)px->rows * px->columns; i++) {
        uint32_t value = stored(p, i) ^ sign;
        least = value < least ? value : least;
        greatest = value > greatest ? value : greatest;
    }
    double a = rescaled(px, least ^ sign), b = rescaled(px, greatest ^ sign);
    return (struct voi){(a + b) / 2, fabs(b - a), VOI_LINEAR_EXACT};
}

bool voi_valid(const struct voi *v)
{
    return isfinite(v->center) && isfinite(v->width) &&
           (v->shape == VOI_LINEAR ? v->width >= 1 : v->width > 0);
}

static struct voi choose_voi(const struct painter *p, const struct rendering *r)
{
    if (r->has_voi)
        return r->voi;
    return p->px->has_voi && voi_valid(&p->px->voi) ? p->px->voi : full_range(p);
}

/* 0 to 1; PS3.3, C.11.2.1.2 and C.11.2.1.3. */
static double windowed(const struct voi *v, double x)
{
    double linear = v->shape == VOI_LINEAR; /* its width counts values, between which it runs */
    double center = v->center - linear / 2, width = v->width - linear;
    if (v->shape == VOI_SIGMOID)
        return 1 / (1 + exp(-4 * (x - center) / width));
    if (x <= center - width / 2)
        return 0;
    return x > center + width / 2 ? 1 : (x - center) / width + 0.5;
}

/* Values that are no number become black. */
static uint8_t to_byte(double shade)
{
    if (!(shade > 0))
        return 0;
    return shade >= 1 ? 255 : (uint8_t)lround(shade * 255);
}

static void shade_values(struct painter *p, const struct rendering *r)
{
    const struct pixels *px = p->px;
    uint32_t count = 1U << px->bits_stored;
    p->shade = xmalloc(count);
    if (px->photometric == RGB) {
        for (uint32_t v = 0; v < count; v++)
            p->shade[v] = to_byte((double)v / (count - 1));
        return;
    }
    struct voi voi = choose_voi(p, r);
    uint8_t inverted = px->photometric == MONOCHROME1 ? 255 : 0;
    for (uint32_t v = 0; v < count; v++)
        p->shade[v] = to_byte(windowed(&voi, rescaled(px, v))) ^ inverted;
}

/* --- scaling --------------------------------------------------------------------------------- */

/* One side of the part to show, in whole pixels. */
static enum status choose_part(double from, double length, uint32_t side, uint32_t *first,
                               uint32_t *count)
{
    if (!(from >= 0) || !(from < side) || !isfinite(length))
        return STATUS_BAD_REQUEST;
    *first = (uint32_t)from;
    double most = side - *first;
    *count = length == 0 || fabs(length) > most ? (uint32_t)most : (uint32_t)ceil(fabs(length));
    return STATUS_OK;
}

/* The largest size of the same shape that fits the box. */
static void fit(const struct rendering *r, uint32_t width, uint32_t height, struct painter *p)
{
    uint64_t w = width, h = height, bw = r->box_width, bh = r->box_height;
    bool fits = w <= bw && h <= bh;
    p->width = width;
    p->height = height;
    if (bw == 0 || bh == 0 || (fits && r->only_smaller))
        return;
    bool wide = w * bh >= h * bw;
    uint64_t across = wide ? bw : (w * bh + h / 2) / h, down = wide ? (h * bw + w / 2) / w : bh;
    p->width = across ? (uint32_t)across : 1;
    p->height = down ? (uint32_t)down : 1;
}

static uint32_t *edges(uint32_t first, uint32_t count, uint32_t parts)
{
    uint32_t *at = xcalloc((size_t)parts + 1, sizeof(*at));
    for (uint64_t i = 0; i <= parts; i++)
        at[i] = first + (uint32_t)(i * count / parts);
    return at;
}

/* A part without a pixel of its own, where the picture is larger, shows the one it begins at. */
static uint32_t end_of(const uint32_t *at, uint32_t i)
{
    return at[i + 1] > at[i] ? at[i + 1] : at[i] + 1;
}

static void add_row(struct painter *p, uint32_t y)
{
    uint32_t samples = p->px->samples;
    for (uint32_t x = 0; x < p->width; x++) {
        uint32_t part = p->mirror_x ? p->width - 1 - x : x;
        for (uint32_t column = p->columns[part]; column < end_of(p->columns, part); column++) {
            size_t at = ((size_t)y * p->px->columns + column) * p->pixel_step;
            for (uint32_t c = 0; c < samples; c++)
                p->sums[x * samples + c] += p->shade[stored(p, at + c * p->channel_step)];
        }
    }
}

/* Each pixel is the mean of those it stands for (box filter). */
static void draw_row(void *ctx, uint32_t y, uint8_t *row)
{
    struct painter *p = ctx;
    uint32_t samples = p->px->samples, part = p->mirror_y ? p->height - 1 - y : y;
    uint32_t first = p->rows[part], end = end_of(p->rows, part);
    memset(p->sums, 0, (size_t)p->width * samples * sizeof(*p->sums));
    for (uint32_t from = first; from < end; from++)
        add_row(p, from);
    for (uint32_t x = 0; x < p->width; x++) {
        uint32_t column = p->mirror_x ? p->width - 1 - x : x;
        uint64_t count =
            (uint64_t)(end - first) * (end_of(p->columns, column) - p->columns[column]);
        for (uint32_t c = 0; c < samples; c++)
            row[x * samples + c] = (uint8_t)((p->sums[x * samples + c] + count / 2) / count);
    }
}

static enum status scale(struct painter *p, const struct rendering *r)
{
    uint32_t x, y, width, height;
    if (choose_part(r->x, r->width, p->px->columns, &x, &width) != STATUS_OK ||
        choose_part(r->y, r->height, p->px->rows, &y, &height) != STATUS_OK)
        return STATUS_BAD_REQUEST;
    p->mirror_x = r->width < 0;
    p->mirror_y = r->height < 0;
    fit(r, width, height, p);
    p->columns = edges(x, width, p->width);
    p->rows = edges(y, height, p->height);
    p->sums = xcalloc((size_t)p->width * p->px->samples, sizeof(*p->sums));
    return STATUS_OK;
}

enum status render(const struct pixels *px, const uint8_t *frame, size_t len,
                   const struct rendering *r, struct strbuf *out)
{
    uint64_t size;
    struct painter p = {.px = px, .frame = frame, .pixel_step = px->samples, .channel_step = 1};
    strbuf_reset(out);
    enum status s = render_check(px, &size, NULL);
    if (s == STATUS_OK && len < size)
        s = STATUS_UNPROCESSABLE;
    if (s == STATUS_OK)
        s = scale(&p, r);
    if (s != STATUS_OK)
        goto out;
    if (px->planar && px->photometric == RGB) {
        p.pixel_step = 1;
        p.channel_step = (size_t)px->rows * px->columns;
    }
    shade_values(&p, r);
    struct picture picture = {p.width, p.height, px->samples, draw_row, &p};
    s = r->png ? encode_png(&picture, out) : encode_jpeg(&picture, r->quality, out);
out:
    free(p.shade);
    free(p.columns);
    free(p.rows);
    free(p.sums);
    return s;
}
