#include "../unit.h"
#include "dicom_render.h"
#include <math.h>
#include <stdio.h>

#include <jpeglib.h>
#include <png.h>

static struct pixels gray(uint32_t rows, uint32_t columns, uint32_t allocated, uint32_t bits)
{
    return (struct pixels){.rows = rows,
                           .columns = columns,
                           .samples = 1,
                           .bits_allocated = allocated,
                           .bits_stored = bits,
                           .high_bit = bits - 1,
                           .photometric = MONOCHROME2,
                           .slope = 1};
}

static struct pixels color(uint32_t rows, uint32_t columns)
{
    struct pixels px = gray(rows, columns, 8, 8);
    px.samples = 3;
    px.photometric = RGB;
    return px;
}

struct shown {
    uint32_t width, height;
    uint8_t *bytes;
};

static struct rendering plain_png(void)
{
    struct rendering r = RENDERING_DEFAULT;
    r.png = true;
    return r;
}

/* Render as PNG and read it back: what is shown, to the byte. */
static struct shown show(const struct pixels *px, const void *frame, size_t len, struct rendering r)
{
    struct strbuf file = STRBUF_INIT;
    png_image image = {.version = PNG_IMAGE_VERSION};
    r.png = true;
    assert_int_equal(render(px, frame, len, &r, &file), STATUS_OK);
    assert_true(png_image_begin_read_from_memory(&image, file.bytes, file.len));
    image.format = px->samples == 1 ? PNG_FORMAT_GRAY : PNG_FORMAT_RGB;
    struct shown shown = {image.width, image.height, malloc(PNG_IMAGE_SIZE(image))};
    assert_true(png_image_finish_read(&image, NULL, shown.bytes, 0, NULL));
    strbuf_release(&file);
    return shown;
}

static void shows(const struct pixels *px, const void *frame, size_t len, struct rendering r,
                  const uint8_t *want, size_t n)
{
    struct shown shown = show(px, frame, len, r);
    assert_int_equal((size_t)shown.width * shown.height * px->samples, n);
    assert_memory_equal(shown.bytes, want, n);
    free(shown.bytes);
}

#define SHOWS(px, frame, r, ...)                                                                   \
    shows(px, frame, sizeof(frame), r, (const uint8_t[]){__VA_ARGS__},                             \
          sizeof((const uint8_t[]){__VA_ARGS__}))

/* --- values ---------------------------------------------------------------------------------- */

static void without_a_window_the_least_is_black_and_the_greatest_white(void **state)
{
    (void)state;
    struct pixels px = gray(1, 4, 8, 8);
    const uint8_t frame[] = {10, 20, 30, 40};
    SHOWS(&px, frame, plain_png(), 0, 85, 170, 255);
    px.photometric = MONOCHROME1;
    SHOWS(&px, frame, plain_png(), 255, 170, 85, 0);
    px.photometric = MONOCHROME2;
    px.slope = -2;
    px.intercept = 7;
    SHOWS(&px, frame, plain_png(), 255, 170, 85, 0);
}

static void signs_and_bits_that_are_not_stored(void **state)
{
    (void)state;
    struct pixels px = gray(1, 3, 16, 16);
    const uint8_t wide[] = {0x00, 0x80, 0x00, 0x00, 0xff, 0x7f}; /* -32768, 0, 32767 */
    px.is_signed = true;
    SHOWS(&px, wide, plain_png(), 0, 128, 255);
    px.is_signed = false;
    SHOWS(&px, wide, plain_png(), 255, 0, 255);

    /* 12 bits, the four above them (an overlay's, once) mean nothing: -2048, -1, 2047. */
    px = gray(1, 3, 16, 12);
    px.is_signed = true;
    const uint8_t twelve[] = {0x00, 0xf8, 0xff, 0x5f, 0xff, 0xa7};
    SHOWS(&px, twelve, plain_png(), 0, 127, 255);

    /* Stored in the high bits: 0, 1, 3 of two bits. */
    px = gray(1, 3, 8, 2);
    px.high_bit = 7;
    const uint8_t high[] = {0x3f, 0x40, 0xc0};
    SHOWS(&px, high, plain_png(), 0, 85, 255);
}

static void every_value_of_a_16_bit_gradient(void **state)
{
    (void)state;
    struct pixels px = gray(256, 256, 16, 16);
    uint8_t *frame = malloc(131072);
    for (uint32_t i = 0; i < 65536; i++) {
        frame[2 * i] = (uint8_t)i;
        frame[2 * i + 1] = (uint8_t)(i >> 8);
    }
    struct shown shown = show(&px, frame, 131072, plain_png());
    for (uint32_t i = 0; i < 65536; i++)
        assert_int_equal(shown.bytes[i], (uint8_t)(i / 257.0 + 0.5));
    free(shown.bytes);
    free(frame);
}

/* PS3.3, C.11.2.1.2.1: its notes give these ends of the linear function. */
static void windows(void **state)
{
    (void)state;
    struct pixels px = gray(1, 8, 16, 16);
    struct rendering r = plain_png();
    const uint8_t frame[] = {0, 0, 1, 0, 127, 0, 128, 0, 254, 0, 255, 0, 0, 1, 0, 16};
    px.has_voi = true;
    px.voi = (struct voi){128, 256, VOI_LINEAR};
    SHOWS(&px, frame, r, 0, 1, 127, 128, 254, 255, 255, 255);
    px.voi = (struct voi){128, 1, VOI_LINEAR}; /* a threshold */
    SHOWS(&px, frame, r, 0, 0, 0, 255, 255, 255, 255, 255);
    px.voi = (struct voi){127.5, 255, VOI_LINEAR_EXACT};
    SHOWS(&px, frame, r, 0, 1, 127, 128, 254, 255, 255, 255);
    px.voi = (struct voi){128, 256, VOI_SIGMOID};
    SHOWS(&px, frame, r, 30, 31, 127, 128, 224, 224, 225, 255);
    px.voi = (struct voi){128, 0, VOI_LINEAR}; /* has no meaning: as if it weren't there */
    SHOWS(&px, frame, r, 0, 0, 8, 8, 16, 16, 16, 255);
    r.has_voi = true; /* the request's before the file's */
    r.voi = (struct voi){1, 2, VOI_LINEAR};
    SHOWS(&px, frame, r, 0, 255, 255, 255, 255, 255, 255, 255);
    px.slope = 2; /* a window is of rescaled values */
    px.intercept = -254;
    SHOWS(&px, frame, r, 0, 0, 0, 255, 255, 255, 255, 255);
}

static void values_without_sense_do_no_harm(void **state)
{
    (void)state;
    struct pixels px = gray(1, 2, 8, 8);
    const uint8_t frame[] = {0, 9}, same[] = {7, 7};
    SHOWS(&px, same, plain_png(), 0, 0);
    px.has_voi = true;
    px.voi = (struct voi){NAN, INFINITY, VOI_SIGMOID};
    SHOWS(&px, frame, plain_png(), 0, 255);
    px.voi = (struct voi){0, 1e-300, VOI_SIGMOID};
    SHOWS(&px, frame, plain_png(), 128, 255);
    px.has_voi = false;
    px.slope = NAN;
    SHOWS(&px, frame, plain_png(), 0, 0);
    px.slope = 1e308;
    px.intercept = -INFINITY;
    SHOWS(&px, frame, plain_png(), 0, 0);
}

static void colors(void **state)
{
    (void)state;
    struct pixels px = color(1, 3);
    const uint8_t mixed[] = {1, 2, 3, 4, 5, 6, 255, 0, 9}, apart[] = {1, 4, 255, 2, 5, 0, 3, 6, 9};
    SHOWS(&px, mixed, plain_png(), 1, 2, 3, 4, 5, 6, 255, 0, 9);
    px.planar = true;
    SHOWS(&px, apart, plain_png(), 1, 2, 3, 4, 5, 6, 255, 0, 9);
    px.bits_stored = 1;
    px.high_bit = 0;
    SHOWS(&px, apart, plain_png(), 255, 0, 255, 0, 255, 0, 255, 0, 255);
}

/* --- scaling --------------------------------------------------------------------------------- */

static void smaller_pixels_are_means(void **state)
{
    (void)state;
    struct pixels px = gray(2, 4, 8, 8);
    struct rendering r = plain_png();
    const uint8_t frame[] = {0, 100, 0, 200, 50, 50, 255, 255};
    px.has_voi = true;
    px.voi = (struct voi){128, 256, VOI_LINEAR};
    r.box_width = 2;
    r.box_height = 2;
    SHOWS(&px, frame, r, 50, 178);
    r.box_width = 4096; /* the box's other side bounds it */
    r.box_height = 1;
    SHOWS(&px, frame, r, 50, 178);
    r.box_height = 4;
    SHOWS(&px, frame, r, 0, 0, 100, 100, 0, 0, 200, 200, 0, 0, 100, 100, 0, 0, 200, 200, 50, 50, 50,
          50, 255, 255, 255, 255, 50, 50, 50, 50, 255, 255, 255, 255);
    r.only_smaller = true;
    SHOWS(&px, frame, r, 0, 100, 0, 200, 50, 50, 255, 255);
}

static void a_part_and_its_mirror_image(void **state)
{
    (void)state;
    struct pixels px = gray(3, 3, 8, 8);
    struct rendering r = plain_png();
    const uint8_t frame[] = {0, 1, 2, 3, 4, 5, 6, 7, 255};
    px.has_voi = true;
    px.voi = (struct voi){128, 256, VOI_LINEAR};
    r.x = 1.9;
    r.y = 1;
    SHOWS(&px, frame, r, 4, 5, 7, 255);
    r.width = 0.5;
    r.height = 100;
    SHOWS(&px, frame, r, 4, 7);
    r.width = -2;
    SHOWS(&px, frame, r, 5, 4, 255, 7);
    r.height = -2;
    SHOWS(&px, frame, r, 255, 7, 5, 4);
}

static void parts_outside_are_refused(void **state)
{
    (void)state;
    struct pixels px = gray(3, 3, 8, 8);
    const uint8_t frame[9] = {0};
    static const struct rendering outside[] = {
        {.quality = 90, .x = 3},   {.quality = 90, .y = 3},       {.quality = 90, .x = -0.5},
        {.quality = 90, .y = NAN}, {.quality = 90, .width = NAN}, {.quality = 90, .y = 1e300},
    };
    for (size_t i = 0; i < COUNT(outside); i++) {
        struct strbuf out = STRBUF_INIT;
        strbuf_addstr(&out, "before");
        assert_int_equal(render(&px, frame, sizeof(frame), &outside[i], &out), STATUS_BAD_REQUEST);
        assert_int_equal(out.len, 0);
        strbuf_release(&out);
    }
}

/* However narrow: never nothing. */
static void a_needle(void **state)
{
    (void)state;
    struct pixels px = gray(RENDER_SIDE_MAX, 1, 8, 8);
    struct rendering r = RENDERING_THUMBNAIL;
    uint8_t *frame = calloc(1, RENDER_SIDE_MAX);
    struct shown shown = show(&px, frame, RENDER_SIDE_MAX, r);
    assert_int_equal(shown.width, 1);
    assert_int_equal(shown.height, RENDER_THUMBNAIL_SIDE);
    free(shown.bytes);
    free(frame);
}

/* --- JPEG ------------------------------------------------------------------------------------ */

static void read_jpeg(const struct strbuf *file, uint32_t *width, uint8_t *first_row)
{
    struct jpeg_decompress_struct jpeg;
    struct jpeg_error_mgr errors;
    jpeg.err = jpeg_std_error(&errors);
    jpeg_create_decompress(&jpeg);
    jpeg_mem_src(&jpeg, (const uint8_t *)file->bytes, file->len);
    assert_int_equal(jpeg_read_header(&jpeg, TRUE), JPEG_HEADER_OK);
    jpeg_start_decompress(&jpeg);
    *width = jpeg.output_width;
    jpeg_read_scanlines(&jpeg, &first_row, 1);
    jpeg_abort_decompress(&jpeg);
    jpeg_destroy_decompress(&jpeg);
}

/* 300 rows, so that the encoder's buffer fills more than once. */
static void a_jpeg_is_close(void **state)
{
    (void)state;
    struct pixels px = gray(300, 256, 8, 8);
    struct rendering r = RENDERING_DEFAULT;
    struct strbuf file = STRBUF_INIT;
    uint8_t *frame = malloc(300 * 256), row[256 * 3];
    uint32_t width;
    for (uint32_t i = 0; i < 300 * 256; i++)
        frame[i] = (uint8_t)(i < 4096 ? i : i * 7919 >> 3);
    assert_int_equal(render(&px, frame, 300 * 256, &r, &file), STATUS_OK);
    assert_true(file.len > 2 * 16384);
    read_jpeg(&file, &width, row);
    assert_int_equal(width, 256);
    for (int i = 0; i < 256; i++)
        assert_in_range(row[i] - i + 8, 0, 16);
    size_t fine = file.len;
    r.quality = 10;
    assert_int_equal(render(&px, frame, 300 * 256, &r, &file), STATUS_OK);
    assert_true(file.len < fine / 2);

    px = color(100, 256);
    memset(frame, 0, 300 * 256);
    frame[0] = frame[1] = frame[2] = 255;
    assert_int_equal(render(&px, frame, 300 * 256, &r, &file), STATUS_OK);
    read_jpeg(&file, &width, row);
    assert_int_equal(width, 256);
    free(frame);
    strbuf_release(&file);
}

/* --- what is refused ------------------------------------------------------------------------- */

static void contradictions_are_refused(void **state)
{
    (void)state;
    uint64_t size;
    const char *why;
    struct pixels px[14];
    for (size_t i = 0; i < COUNT(px); i++)
        px[i] = i < 10 ? gray(8, 8, 16, 12) : color(8, 8);
    px[0].rows = 0;
    px[1].columns = RENDER_SIDE_MAX + 1;
    px[2].rows = UINT32_MAX;
    px[3].rows = px[3].columns = RENDER_SIDE_MAX; /* a frame of 512 MiB */
    px[4].samples = 3;
    px[5].bits_allocated = 32;
    px[6].bits_stored = 17;
    px[7].bits_stored = 0;
    px[8].high_bit = 16;
    px[9].high_bit = 10;
    px[10].samples = 1;
    px[11].is_signed = true;
    px[12].samples = UINT32_MAX;
    px[13].bits_allocated = 1;
    for (size_t i = 0; i < COUNT(px); i++) {
        struct strbuf out = STRBUF_INIT;
        struct rendering r = RENDERING_DEFAULT;
        if (render_check(&px[i], &size, &why) != STATUS_NOT_ACCEPTABLE || !why)
            fail_msg("%zu", i);
        assert_int_equal(render(&px[i], (const uint8_t *)"", 0, &r, &out), STATUS_NOT_ACCEPTABLE);
    }
    struct pixels good = color(8, 9);
    assert_int_equal(render_check(&good, &size, &why), STATUS_OK);
    assert_int_equal(size, 8 * 9 * 3);
    assert_null(why);
}

/* On the heap and of this length: one byte too far is ASan's. */
static void a_frame_that_is_too_short(void **state)
{
    (void)state;
    struct pixels px[] = {gray(5, 7, 8, 8), gray(5, 7, 16, 16), color(5, 7)};
    for (size_t i = 0; i < COUNT(px); i++) {
        uint64_t size;
        struct rendering r = RENDERING_DEFAULT;
        struct strbuf out = STRBUF_INIT;
        assert_int_equal(render_check(&px[i], &size, NULL), STATUS_OK);
        uint8_t *frame = calloc(1, size);
        assert_int_equal(render(&px[i], frame, size - 1, &r, &out), STATUS_UNPROCESSABLE);
        assert_int_equal(render(&px[i], frame, 0, &r, &out), STATUS_UNPROCESSABLE);
        assert_int_equal(render(&px[i], frame, size, &r, &out), STATUS_OK);
        free(frame);
        strbuf_release(&out);
    }
}

/* --- query parameters ------------------------------------------------------------------------ */

static void viewports(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",        "1",       "1,",        ",1",        "0,1",           "1,0",          "4097,1",
        "1,4097",  "+1,1",    "1 ,1",      "1.5,2",     "99999,1",       "1000000000,1", "1,1,x",
        "1,1,0x1", "1,1,nan", "1,1,,,inf", "1,1,1e999", "1,1,1,1,1,1,1", "1,1,1,1,1,1,", "1,1,1 ",
        "1,1,-",   "-1,-1",
    };
    struct rendering r = RENDERING_DEFAULT;
    for (size_t i = 0; i < COUNT(bad); i++) {
        if (rendering_viewport(bad[i], &r) != STATUS_BAD_REQUEST)
            fail_msg("%s", bad[i]);
        assert_int_equal(r.box_width, 0);
    }
    assert_int_equal(rendering_viewport("4096,1,,2.5,-3", &r), STATUS_OK);
    assert_int_equal(r.box_width, 4096);
    assert_int_equal(r.box_height, 1);
    assert_true(r.x == 0 && r.y == 2.5 && r.width == -3 && r.height == 0);
    assert_int_equal(rendering_viewport("7,8", &r), STATUS_OK);
    assert_true(r.y == 0 && r.width == 0 && r.box_height == 8);
}

static void windows_and_qualities_asked_for(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        "1",
        "1,",
        ",1",
        "1,0",
        "1,0.5",
        "1,0.5,linear",
        "1,-1,sigmoid",
        "1,0,linear-exact",
        "1,2,LINEAR",
        "1,2,",
        "1,2,linear,",
        "1,nan",
        "nan,1",
        "1,1e999",
        "0x10,1",
        "1,2,3,4,5,6,7",
    };
    struct rendering r = RENDERING_DEFAULT;
    for (size_t i = 0; i < COUNT(bad); i++) {
        if (rendering_window(bad[i], &r) != STATUS_BAD_REQUEST)
            fail_msg("%s", bad[i]);
        assert_false(r.has_voi);
    }
    assert_int_equal(rendering_window("-40.5,4e2", &r), STATUS_OK);
    assert_true(r.has_voi && r.voi.center == -40.5 && r.voi.width == 400);
    assert_int_equal(r.voi.shape, VOI_LINEAR);
    assert_int_equal(rendering_window("0,.25,sigmoid", &r), STATUS_OK);
    assert_int_equal(r.voi.shape, VOI_SIGMOID);
    assert_int_equal(rendering_window("0,1,linear-exact", &r), STATUS_OK);
    assert_int_equal(r.voi.shape, VOI_LINEAR_EXACT);

    static const char *const no_quality[] = {"", "0", "101", "-1", "1.5", "9 ", "123456"};
    for (size_t i = 0; i < COUNT(no_quality); i++)
        assert_int_equal(rendering_quality(no_quality[i], &r), STATUS_BAD_REQUEST);
    assert_int_equal(r.quality, 90);
    assert_int_equal(rendering_quality("100", &r), STATUS_OK);
    assert_int_equal(r.quality, 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_a_window_the_least_is_black_and_the_greatest_white),
        cmocka_unit_test(signs_and_bits_that_are_not_stored),
        cmocka_unit_test(every_value_of_a_16_bit_gradient),
        cmocka_unit_test(windows),
        cmocka_unit_test(values_without_sense_do_no_harm),
        cmocka_unit_test(colors),
        cmocka_unit_test(smaller_pixels_are_means),
        cmocka_unit_test(a_part_and_its_mirror_image),
        cmocka_unit_test(parts_outside_are_refused),
        cmocka_unit_test(a_needle),
        cmocka_unit_test(a_jpeg_is_close),
        cmocka_unit_test(contradictions_are_refused),
        cmocka_unit_test(a_frame_that_is_too_short),
        cmocka_unit_test(viewports),
        cmocka_unit_test(windows_and_qualities_asked_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
