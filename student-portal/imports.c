#include "handlers.h"
#include "import_db.h"
#include "portal.h"
#include "reply.h"
#include "upload.h"
#include <stdlib.h>

static json_t *errors_json(const struct import *im)
{
    json_t *list = json_array();
    for (size_t i = 0; i < im->error_count && i < IMPORT_ERRORS_MAX; i++)
        json_array_append_new(list, json_pack("{s:I, s:s}", "line", (json_int_t)im->errors[i].line,
                                              "reason", im->errors[i].reason));
    return list;
}

static enum status refuse(struct http_request *req, const struct import *im)
{
    return reply_refused(req, "nothing was imported: some lines are wrong",
                         json_pack("{s:I, s:o}", "error_count", (json_int_t)im->error_count,
                                   "errors", errors_json(im)));
}

static enum status run_import(struct http_request *req, struct import *im)
{
    struct import_run run = {.import = im, .by = audit_actor(req), .changes = CHANGES_INIT};
    enum status st = im->error_count ? STATUS_UNPROCESSABLE : import_apply(portal.db, &run);
    portal_publish(st, &run.changes);
    if (st == STATUS_UNPROCESSABLE)
        st = refuse(req, im);
    else if (!st) {
        st = http_reply_json(req, 200,
                             json_pack("{s:I, s:I, s:I}", "created", (json_int_t)run.created,
                                       "renamed", (json_int_t)run.renamed, "enrolled",
                                       (json_int_t)run.enrolled));
    }
    return st;
}

enum status post_import(struct http_request *req)
{
    const char *bytes;
    size_t len;
    enum status st = upload_bytes(req, "text/csv", &bytes, &len);
    if (st)
        return st;
    struct import *im = xmalloc(sizeof(*im));
    import_parse(im, bytes, len);
    st = run_import(req, im);
    import_release(im);
    free(im);
    return st;
}
