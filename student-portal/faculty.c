#include "access.h"
#include "auth.h"
#include "courses_db.h"
#include "handlers.h"
#include "marks_db.h"
#include "portal.h"
#include "reply.h"
#include "upload.h"
#include <stdlib.h>
#include <string.h>

enum { MARKS_MAX = 2000 /* in one request */ };

enum status get_session_attendance(struct http_request *req)
{
    int64_t session;
    enum status st = session_param(req, &session);
    if (st)
        return st;
    json_t *rows = json_array();
    st = session_roster(portal.db, session, caller(req)->role, rows);
    return reply_rows(req, st, "students", rows);
}

/* --- one mark --------------------------------------------------------------------------------- */

static enum status check_mark(struct http_request *req, const char *word, enum mark *out)
{
    if (mark_parse(word, out))
        return http_fail(req, STATUS_UNPROCESSABLE,
                         "mark is one of present, late, absent and excused");
    return STATUS_OK;
}

static enum status read_mark(struct http_request *req, enum mark *out)
{
    const char *word;
    enum status st = http_body_take(req, "{s:s !}", "mark", &word);
    return st ? st : check_mark(req, word, out);
}

enum status put_attendance(struct http_request *req)
{
    struct mark_entry entry = {.student = http_param(req, "student")};
    struct marks marks = {.at = &entry, .n = 1, .by = audit_actor(req), .changes = CHANGES_INIT};
    if (!name_valid(entry.student, ACCOUNT_MAX))
        return STATUS_NOT_FOUND;
    enum status st = session_param(req, &marks.session);
    if (!st)
        st = read_mark(req, &entry.mark);
    if (!st)
        st = marks_set(portal.db, &marks);
    portal_publish(st, &marks.changes);
    if (!st) {
        st = http_reply_json(req, 200,
                             json_pack("{s:s, s:s, s:s, s:s}", "session",
                                       http_param(req, "session"), "student", entry.student, "mark",
                                       mark_name(entry.mark), "marked_by", caller(req)->account));
    }
    return st;
}

/* --- a whole class ---------------------------------------------------------------------------- */

static enum status read_entry(struct http_request *req, const char *student, json_t *value,
                              struct mark_entry *out)
{
    out->student = student;
    if (!json_is_string(value))
        return http_fail(req, STATUS_UNPROCESSABLE, "a mark is a text");
    return check_mark(req, json_string_value(value), &out->mark);
}

static enum status read_marks(struct http_request *req, json_t *root, struct marks *marks)
{
    json_t *members, *value;
    const char *student;
    struct strbuf why = STRBUF_INIT;
    enum status st = json_take(root, &why, "{s:o !}", "marks", &members);
    if (st)
        http_fail(req, st, "%s", strbuf_cstr(&why));
    else if (!json_is_object(members) || json_object_size(members) == 0 ||
             json_object_size(members) > MARKS_MAX)
        st = http_fail(req, STATUS_UNPROCESSABLE, "marks has 1 to %d members: account, mark",
                       MARKS_MAX);
    strbuf_release(&why);
    if (st)
        return st;
    marks->at = xcalloc(json_object_size(members), sizeof(marks->at[0]));
    json_object_foreach(members, student, value)
    {
        st = read_entry(req, student, value, &marks->at[marks->n++]);
        if (st)
            break;
    }
    return st;
}

/* Who is not enrolled, each by name. Nothing was marked. */
static enum status refuse_strangers(struct http_request *req, const struct marks *marks)
{
    json_t *names = json_array();
    for (size_t i = 0; i < marks->n; i++)
        if (!marks->at[i].id)
            json_array_append_new(names, json_string(marks->at[i].student));
    return reply_refused(req, "nobody was marked: some are not enrolled here",
                         json_pack("{s:o}", "not_enrolled", names));
}

static enum status set_marks(struct http_request *req, json_t *root)
{
    struct marks marks = {.by = audit_actor(req), .changes = CHANGES_INIT};
    enum status st = session_param(req, &marks.session);
    if (!st)
        st = read_marks(req, root, &marks);
    if (!st) {
        st = marks_set(portal.db, &marks);
        portal_publish(st, &marks.changes);
        if (st == STATUS_NOT_FOUND)
            st = refuse_strangers(req, &marks);
        else if (!st) {
            st = http_reply_json(req, 200,
                                 json_pack("{s:s, s:I}", "session", http_param(req, "session"),
                                           "marked", (json_int_t)marks.n));
        }
    }
    free(marks.at);
    return st;
}

enum status put_class(struct http_request *req)
{
    const char *bytes;
    size_t len;
    json_t *root;
    struct strbuf why = STRBUF_INIT;
    enum status st = upload_bytes(req, "application/json", &bytes, &len);
    if (st)
        return st;
    st = json_parse(bytes, len, &root, &why);
    if (st)
        http_fail(req, st, "%s", strbuf_cstr(&why));
    strbuf_release(&why);
    if (st)
        return st;
    st = set_marks(req, root);
    json_decref(root);
    return st;
}
