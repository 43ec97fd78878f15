/* What is accepted is written and read back equal, what is not has a reason that a reply can quote;
 * any text becomes one JSON string. */
#include "../fuzz.h"
#include "json.h"
#include <string.h>

static void check_round_trip(json_t *root)
{
    struct strbuf text = STRBUF_INIT, why = STRBUF_INIT;
    json_t *again;
    json_write(&text, root);
    require(json_parse(text.bytes, text.len, &again, &why) == STATUS_OK);
    require(json_equal(root, again));
    json_decref(again);
    strbuf_release(&text);
}

static void check_reason(const char *why)
{
    json_t *quoted = json_string(why); /* NULL when it is not UTF-8 */
    require(quoted);
    json_decref(quoted);
}

static void check_text(const char *bytes, size_t len)
{
    struct strbuf text = STRBUF_INIT, out = STRBUF_INIT, why = STRBUF_INIT;
    json_t *root;
    strbuf_add(&text, bytes, len);
    json_write_text(&out, text.bytes);
    require(json_parse(out.bytes, out.len, &root, &why) == STATUS_OK && json_is_string(root));
    const char *back = json_string_value(root);
    require(!text_valid(bytes, len, 0, len, false) || strcmp(back, text.bytes) == 0);
    json_decref(root);
    strbuf_release(&text);
    strbuf_release(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    struct strbuf why = STRBUF_INIT;
    json_t *root;
    enum status s = json_parse(bytes, len, &root, &why);
    require(s == STATUS_OK ? root && why.len == 0 : !root && why.len > 0);
    if (root)
        check_round_trip(root);
    else
        check_reason(why.bytes);
    json_decref(root);
    strbuf_release(&why);
    check_text((const char *)bytes, len);
    return 0;
}
