#include "student.h"
#include "attendance_db.h"
#include "auth.h"
#include "handlers.h"
#include "portal.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* Rows come in the order of courses: a course is complete when the next one begins. */
struct overview {
    json_t *courses;
    json_t *course, *sessions; /* borrowed: the last of `courses`, and its rows */
    struct totals totals;
};

static void finish_course(struct overview *o)
{
    if (!o->course)
        return;
    json_t *totals = json_object();
    for (unsigned m = MARK_PRESENT; m < MARKS; m++)
        json_object_set_new(totals, mark_name(m), json_integer(o->totals.count[m]));
    json_object_set_new(totals, "unmarked", json_integer(o->totals.count[MARK_NONE]));
    int percentage = totals_percentage(&o->totals);
    json_object_set_new(o->course, "totals", totals);
    json_object_set_new(o->course, "percentage",
                        percentage < 0 ? json_null() : json_integer(percentage));
    json_object_set_new(o->course, "below_75", json_boolean(totals_below_floor(&o->totals)));
    o->course = NULL;
}

static void begin_course(struct overview *o, const struct attendance_row *row)
{
    o->sessions = json_array();
    o->course = json_pack("{s:s, s:s, s:o}", "course", row->course, "title", row->title, "sessions",
                          o->sessions);
    o->totals = (struct totals){{0}};
    json_array_append_new(o->courses, o->course);
}

static void add_row(void *ctx, const struct attendance_row *row)
{
    struct overview *o = ctx;
    char id[24];
    if (!row->course)
        return;
    if (!o->course ||
        strcmp(json_string_value(json_object_get(o->course, "course")), row->course) != 0) {
        finish_course(o);
        begin_course(o, row);
    }
    if (!row->session)
        return;
    snprintf(id, sizeof(id), "%" PRId64, row->session);
    totals_add(&o->totals, row->mark);
    json_array_append_new(o->sessions, json_pack("{s:s, s:s, s:s?}", "session", id, "starts_at",
                                                 row->starts_at, "mark", mark_name(row->mark)));
}

static enum status load_courses(int64_t student, const char *course, json_t **out, int64_t *gen)
{
    struct overview o = {.courses = json_array()};
    enum status st = attendance_of_student(portal.db, student, course, add_row, &o, gen);
    finish_course(&o);
    *out = o.courses;
    return st;
}

enum status load_attendance(void *ctx, int64_t student, struct strbuf *body, int64_t *gen)
{
    (void)ctx;
    json_t *courses;
    enum status st = load_courses(student, NULL, &courses, gen);
    json_t *root = json_pack("{s:o}", "courses", courses);
    if (!st)
        json_write(body, root);
    json_decref(root);
    return st;
}

enum status get_own_attendance(struct http_request *req)
{
    const struct user *me = caller(req);
    const char *how;
    struct strbuf body = STRBUF_INIT;
    enum status st = cache_get(portal.cache, me->id, me->attendance_gen, &body, &how);
    if (!st) {
        http_set_header(req, "Cache-Status", how);
        st = http_reply(req, 200, "application/json", body.bytes, body.len);
    }
    strbuf_release(&body);
    return st;
}

enum status get_own_course(struct http_request *req)
{
    json_t *courses;
    int64_t gen;
    const char *course = http_param(req, "course");
    if (!name_valid(course, COURSE_MAX))
        return STATUS_NOT_FOUND;
    enum status st = load_courses(caller(req)->id, course, &courses, &gen);
    if (!st)
        st = http_reply_json(req, 200, json_incref(json_array_get(courses, 0)));
    json_decref(courses);
    return st;
}
