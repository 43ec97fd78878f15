/* The DICOM JSON Model of any file that parses is JSON again, and texts are UTF-8 whatever the
 * character set says. */
#include "../fuzz.h"
#include "dicom_json.h"
#include "dicom_text.h"
#include <string.h>

static void check_text(const uint8_t *bytes, size_t len)
{
    for (int set = CHARSET_ASCII; set <= CHARSET_UTF8; set++) {
        struct strbuf text = STRBUF_INIT, name = STRBUF_INIT, again = STRBUF_INIT;
        dicom_text((enum dicom_charset)set, bytes, len, false, &text);
        require(text_valid(strbuf_cstr(&text), text.len, 0, SIZE_MAX, false));
        dicom_name_normalise(strbuf_cstr(&text), text.len, &name);
        dicom_name_normalise(strbuf_cstr(&name), name.len, &again);
        require(name.len == again.len &&
                memcmp(strbuf_cstr(&name), strbuf_cstr(&again), name.len) == 0);
        strbuf_release(&text);
        strbuf_release(&name);
        strbuf_release(&again);
    }
}

static void check_json(const json_t *attributes)
{
    struct strbuf text = STRBUF_INIT;
    json_write(&text, attributes);
    json_t *again = json_loadb(text.bytes, text.len, JSON_REJECT_DUPLICATES, NULL);
    require(again && json_equal(again, attributes));
    json_decref(again);
    strbuf_release(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    const struct dicom_json_want want = {.bulk = true};
    struct dicom_json *j = dicom_json_new(&want);
    struct dicom_parser *p = dicom_parser_new(dicom_json_tap, j);
    if (dicom_push(p, bytes, len) == STATUS_OK && dicom_finish(p) == STATUS_OK) {
        dicom_json_link(j, "/");
        json_t *attributes = dicom_json_take(j);
        require(attributes || len > DICOM_JSON_ELEMENTS_MAX);
        if (attributes)
            check_json(attributes);
        json_decref(attributes);
    }
    check_text(bytes, len < 200 ? len : 200);
    dicom_parser_free(p);
    dicom_json_free(j);
    return 0;
}
