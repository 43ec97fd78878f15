#include "handlers.h"
#include "http.h"
#include "student-portal_embed.h"

static const char csp[] = "default-src 'none'; script-src 'self'; style-src 'self'; "
                          "connect-src 'self'; img-src data:; base-uri 'none'; "
                          "form-action 'none'; frame-ancestors 'none'";

/* The pages show what the API allows; they are no place for a check. */
enum status get_page(struct http_request *req)
{
    http_set_header(req, "Referrer-Policy", "no-referrer");
    http_set_header(req, "Cache-Control", "no-cache");
    return http_reply_page(req, &student_portal_web, csp);
}
