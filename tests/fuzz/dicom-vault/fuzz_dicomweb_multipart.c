/* A boundary's length (1 byte), a piece's length (1), the boundary, and a body. Cut in pieces or
 * not, the body tells the same; and as a part's content it comes back as it is, unless it has the
 * delimiter. */
#include "../../unit/dicom-vault/multipart_log.h"
#include "../fuzz.h"

static void same_in_pieces(const char *boundary, const uint8_t *body, size_t len, size_t piece)
{
    struct strbuf whole = STRBUF_INIT, cut = STRBUF_INIT;
    enum status s = log_multipart(boundary, body, len, len ? len : 1, &whole);
    require(log_multipart(boundary, body, len, piece, &cut) == s);
    require(s != STATUS_OK ||
            (whole.len == cut.len && (!whole.len || memcmp(whole.bytes, cut.bytes, cut.len) == 0)));
    strbuf_release(&whole);
    strbuf_release(&cut);
}

static void comes_back(const char *boundary, const uint8_t *content, size_t len, size_t piece)
{
    struct strbuf body = STRBUF_INIT, delimiter = STRBUF_INIT, log = STRBUF_INIT;
    strbuf_addf(&body, "--%s\r\n", boundary);
    size_t at = body.len + 2; /* an empty line, whose CR LF may begin the next delimiter */
    strbuf_addstr(&body, "\r\n");
    strbuf_add(&body, content, len);
    strbuf_addf(&delimiter, "\r\n--%s", boundary);
    bool clean = !memmem(body.bytes + at - 2, body.len - at + 2, delimiter.bytes, delimiter.len);
    strbuf_addf(&body, "\r\n--%s--", boundary);
    if (clean) {
        require(log_multipart(boundary, body.bytes, body.len, piece, &log) == STATUS_OK);
        require(log.len == len + 3 && memcmp(log.bytes, "[]", 2) == 0 &&
                (!len || memcmp(log.bytes + 2, content, len) == 0));
    }
    strbuf_release(&body);
    strbuf_release(&delimiter);
    strbuf_release(&log);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    char boundary[BOUNDARY_MAX + 1];
    if (len < 3 || len > 4096)
        return 0;
    size_t n = bytes[0] % BOUNDARY_MAX + 1, piece = bytes[1] + 1U;
    if (n > len - 2)
        return 0;
    for (size_t i = 0; i < n; i++) /* what a Content-Type can say: nothing below a blank */
        boundary[i] = (char)(bytes[2 + i] < ' ' ? bytes[2 + i] + 'a' : bytes[2 + i]);
    boundary[n] = '\0';
    same_in_pieces(boundary, bytes + 2 + n, len - 2 - n, piece);
    comes_back(boundary, bytes + 2 + n, len - 2 - n, piece);
    return 0;
}
