#include "problem.h"
#include "json.h"

static void add_member(struct strbuf *out, const char *name, const char *text)
{
    strbuf_addf(out, ",\"%s\":", name);
    json_write_text(out, text);
}

void problem_write(struct strbuf *out, enum status s, const char *detail, const char *request_id,
                   const char *extra)
{
    if (s >= STATUS_DUPLICATE) /* not for clients */
        s = STATUS_INTERNAL;
    strbuf_addf(out, "{\"type\":\"/problems/%s\",\"title\":\"%s\",\"status\":%d", status_slug(s),
                status_title(s), status_http(s));
    if (detail)
        add_member(out, "detail", detail);
    if (request_id)
        add_member(out, "request_id", request_id);
    if (extra && *extra)
        strbuf_addf(out, ",%s", extra);
    strbuf_addch(out, '}');
}
