#include "handlers.h"
#include "http.h"
#include "student-portal_embed.h"
#include <string.h>

static const char csp[] = "default-src 'none'; script-src 'self'; style-src 'self'; "
                          "connect-src 'self'; img-src data:; base-uri 'none'; "
                          "form-action 'none'; frame-ancestors 'none'";

/* The pages show what the API allows; they are no place for a check. */
enum status get_page(struct http_request *req)
{
    const char *name = http_route(req)->pattern + 1;
    const struct embed_file *file = embed_find(&student_portal_web, *name ? name : "index.html");
    if (!file)
        return STATUS_NOT_FOUND;
    http_set_header(req, "Content-Security-Policy", csp);
    http_set_header(req, "Referrer-Policy", "no-referrer");
    http_set_header(req, "Cache-Control", "no-cache");
    return http_reply_static(req, 200, embed_type(file->name), file->bytes, file->len);
}
