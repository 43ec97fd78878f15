#include "auth.h"
#include "handlers.h"
#include "page.h"
#include "portal.h"

/* Admission has brought it along: see auth.h. */
enum status get_own_attendance(struct http_request *req)
{
    const struct near_entry *page = caller_page(req);
    http_set_header(req, "Cache-Status", caller_page_source(req));
    return http_reply_static(req, 200, "application/json", page->body, page->len);
}

struct one_course {
    const char *code;
    struct strbuf body;
    bool found;
};

static void write_one(void *ctx, const struct attendance_page *page)
{
    struct one_course *one = ctx;
    one->found = page_write_course(&one->body, page, one->code);
}

enum status get_own_course(struct http_request *req)
{
    struct one_course one = {.code = http_param(req, "course"), .body = STRBUF_INIT};
    if (!name_valid(one.code, COURSE_MAX))
        return STATUS_NOT_FOUND;
    enum status st = attendance_load(portal.db, &caller(req)->id, 1, write_one, &one);
    if (!st && !one.found)
        st = STATUS_NOT_FOUND;
    if (!st)
        st = http_reply(req, 200, "application/json", one.body.bytes, one.body.len);
    strbuf_release(&one.body);
    return st;
}
