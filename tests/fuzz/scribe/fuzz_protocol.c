/* What is accepted holds its bounds, and as a message it frames to JSON that reads back equal. */
#include "../fuzz.h"
#include "json.h"
#include "protocol.h"
#include "token.h"
#include <string.h>

static void check_bounds(const struct request *r)
{
    require(request_name(r->type));
    require(!r->room || name_valid(r->room, NAME_MAX_LEN));
    require(!r->id || name_valid(r->id, NAME_MAX_LEN));
    require(!r->text || text_valid(r->text, strlen(r->text), 1, TEXT_MAX, true));
    require(!r->token || strlen(r->token) <= TOKEN_MAX);
    require(r->after >= -1 && r->after <= SEQ_MAX);
    require(r->before >= -1 && r->before <= SEQ_MAX && r->before != 0);
    require(r->seq >= -1 && r->seq <= SEQ_MAX);
    require(r->limit == -1 || (r->limit >= 1 && r->limit <= PAGE_MAX));
}

static void check_frame(const struct request *r)
{
    const struct message m = {
        .room = r->room, .sender = "ada", .client_id = r->id, .text = r->text, .seq = 7};
    struct frame *f = message_frame(&m);
    struct strbuf why = STRBUF_INIT;
    size_t len;
    json_t *root;
    const char *text = frame_text(f, &len);
    require(json_parse(text, len, &root, &why) == STATUS_OK);
    require(strcmp(json_string_value(json_object_get(root, "text")), r->text) == 0);
    require(strcmp(json_string_value(json_object_get(root, "id")), r->id) == 0);
    json_decref(root);
    frame_unref(f);
}

/* It goes into a frame: frame_json has no answer to what is not UTF-8. */
static void check_reason(const char *why)
{
    struct frame *f = frame_json("{s:s}", "detail", why);
    require(*why);
    frame_unref(f);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    struct request r;
    struct strbuf why = STRBUF_INIT;
    enum status status = request_parse((const char *)bytes, len, &r, &why);
    if (status == STATUS_OK) {
        check_bounds(&r);
        if (r.type == REQUEST_SEND)
            check_frame(&r);
    } else
        check_reason(why.bytes);
    request_release(&r);
    strbuf_release(&why);
    return 0;
}
