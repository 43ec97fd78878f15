#include "dicom_encode.h"
#include "log.h"
#include <setjmp.h>
#include <stdio.h> /* jpeglib.h uses FILE */
#include <stdlib.h>

#include <jpeglib.h>
#include <png.h>

/* --- JPEG ------------------------------------------------------------------------------------ */

struct jpeg_writer {
    struct jpeg_compress_struct jpeg;
    struct jpeg_error_mgr errors;
    struct jpeg_destination_mgr to;
    jmp_buf failed;
    struct strbuf *out;
    uint8_t buffer[16384];
};

static void jpeg_failed(j_common_ptr jpeg)
{
    struct jpeg_writer *w = jpeg->client_data;
    char text[JMSG_LENGTH_MAX];
    jpeg->err->format_message(jpeg, text);
    log_error("jpeg_refused", F("why", (const char *)text));
    longjmp(w->failed, 1);
}

static void jpeg_silent(j_common_ptr jpeg, int level)
{
    (void)jpeg;
    (void)level;
}

static void jpeg_buffer_empty(j_compress_ptr jpeg)
{
    struct jpeg_writer *w = jpeg->client_data;
    w->to.next_output_byte = w->buffer;
    w->to.free_in_buffer = sizeof(w->buffer);
}

static boolean jpeg_buffer_full(j_compress_ptr jpeg)
{
    struct jpeg_writer *w = jpeg->client_data;
    strbuf_add(w->out, w->buffer, sizeof(w->buffer));
    jpeg_buffer_empty(jpeg);
    return TRUE;
}

static void jpeg_buffer_last(j_compress_ptr jpeg)
{
    struct jpeg_writer *w = jpeg->client_data;
    strbuf_add(w->out, w->buffer, sizeof(w->buffer) - w->to.free_in_buffer);
}

static void jpeg_prepare(struct jpeg_writer *w, const struct picture *p, unsigned quality)
{
    jpeg_create_compress(&w->jpeg);
    w->jpeg.dest = &w->to;
    w->jpeg.image_width = p->width;
    w->jpeg.image_height = p->height;
    w->jpeg.input_components = (int)p->channels;
    w->jpeg.in_color_space = p->channels == 1 ? JCS_GRAYSCALE : JCS_RGB;
    jpeg_set_defaults(&w->jpeg);
    jpeg_set_quality(&w->jpeg, (int)quality, TRUE);
}

/* Nothing local changes behind setjmp, so that nothing is lost by a longjmp. */
static enum status jpeg_write(struct jpeg_writer *w, const struct picture *p, unsigned quality,
                              uint8_t *row)
{
    if (setjmp(w->failed))
        return STATUS_INTERNAL;
    jpeg_prepare(w, p, quality);
    jpeg_start_compress(&w->jpeg, TRUE);
    while (w->jpeg.next_scanline < w->jpeg.image_height) {
        p->draw(p->ctx, w->jpeg.next_scanline, row);
        jpeg_write_scanlines(&w->jpeg, &row, 1);
    }
    jpeg_finish_compress(&w->jpeg);
    return STATUS_OK;
}

enum status encode_jpeg(const struct picture *p, unsigned quality, struct strbuf *out)
{
    uint8_t *row = xcalloc(p->width, p->channels);
    struct jpeg_writer w = {.out = out,
                            .to = {.init_destination = jpeg_buffer_empty,
                                   .empty_output_buffer = jpeg_buffer_full,
                                   .term_destination = jpeg_buffer_last}};
    w.jpeg.err = jpeg_std_error(&w.errors);
    w.jpeg.client_data = &w;
    w.errors.error_exit = jpeg_failed;
    w.errors.emit_message = jpeg_silent;
    strbuf_reset(out);
    enum status s = jpeg_write(&w, p, quality, row);
    jpeg_destroy_compress(&w.jpeg);
    free(row);
    if (s != STATUS_OK)
        strbuf_reset(out);
    return s;
}

/* --- PNG ------------------------------------------------------------------------------------- */

static _Noreturn void png_failed(png_structp png, png_const_charp text)
{
    log_error("png_refused", F("why", text));
    png_longjmp(png, 1);
}

static void png_silent(png_structp png, png_const_charp text)
{
    (void)png;
    (void)text;
}

static void png_add(png_structp png, png_bytep bytes, size_t len)
{
    strbuf_add(png_get_io_ptr(png), bytes, len);
}

static void png_flush_nothing(png_structp png)
{
    (void)png;
}

static enum status png_write(png_structp png, png_infop about, const struct picture *p,
                             uint8_t *row)
{
    if (setjmp(png_jmpbuf(png)))
        return STATUS_INTERNAL;
    png_set_compression_level(png, 3); /* half the time of 6 for a tenth more bytes */
    png_set_IHDR(png, about, p->width, p->height, 8,
                 p->channels == 1 ? PNG_COLOR_TYPE_GRAY : PNG_COLOR_TYPE_RGB, PNG_INTERLACE_NONE,
                 PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
    png_write_info(png, about);
    for (uint32_t y = 0; y < p->height; y++) {
        p->draw(p->ctx, y, row);
        png_write_row(png, row);
    }
    png_write_end(png, about);
    return STATUS_OK;
}

enum status encode_png(const struct picture *p, struct strbuf *out)
{
    uint8_t *row = xcalloc(p->width, p->channels);
    png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, NULL, png_failed, png_silent);
    png_infop about = png ? png_create_info_struct(png) : NULL;
    enum status s = STATUS_INTERNAL;
    strbuf_reset(out);
    if (about) {
        png_set_write_fn(png, out, png_add, png_flush_nothing);
        s = png_write(png, about, p, row);
    }
    png_destroy_write_struct(&png, &about);
    free(row);
    if (s != STATUS_OK)
        strbuf_reset(out);
    return s;
}
