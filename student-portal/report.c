#include "auth.h"
#include "csv.h"
#include "handlers.h"
#include "portal.h"
#include "reply.h"
#include "report_db.h"
#include "user_view.h"
#include <stdio.h>

/* In the order of the columns. */
static const struct {
    const char *name;
    enum mark mark;
} columns[] = {{"present", MARK_PRESENT},
               {"late", MARK_LATE},
               {"absent", MARK_ABSENT},
               {"excused", MARK_EXCUSED},
               {"unmarked", MARK_NONE}};
enum { COLUMNS = sizeof(columns) / sizeof(columns[0]) };

static void add_student(void *ctx, const struct user *student, const struct totals *totals)
{
    json_t *line = user_view(student, FACULTY), *counts = json_object();
    int percentage = totals_percentage(totals);
    for (size_t i = 0; i < COLUMNS; i++)
        json_object_set_new(counts, columns[i].name, json_integer(totals->count[columns[i].mark]));
    json_object_set_new(line, "totals", counts);
    json_object_set_new(line, "percentage",
                        percentage < 0 ? json_null() : json_integer(percentage));
    json_object_set_new(line, "below_75", json_boolean(totals_below_floor(totals)));
    json_array_append_new(ctx, line);
}

enum status get_report(struct http_request *req)
{
    json_t *rows = json_array();
    enum status st = report_walk(portal.db, http_param(req, "course"), add_student, rows);
    return reply_rows(req, st, "students", rows);
}

static void put_head(struct strbuf *out)
{
    csv_put(out, "student");
    csv_put(out, "name");
    for (size_t i = 0; i < COLUMNS; i++)
        csv_put(out, columns[i].name);
    csv_put(out, "percentage");
    csv_put(out, "below_75");
    csv_end(out);
}

static void put_student(void *ctx, const struct user *student, const struct totals *totals)
{
    struct strbuf *out = ctx;
    int percentage = totals_percentage(totals);
    csv_put(out, student->account);
    csv_put(out, student->name);
    for (size_t i = 0; i < COLUMNS; i++)
        csv_put_number(out, totals->count[columns[i].mark]);
    if (percentage < 0)
        csv_put(out, "");
    else
        csv_put_number(out, percentage);
    csv_put(out, totals_below_floor(totals) ? "yes" : "no");
    csv_end(out);
}

enum status get_report_csv(struct http_request *req)
{
    char disposition[128];
    struct strbuf out = STRBUF_INIT;
    const char *course = http_param(req, "course");
    put_head(&out);
    enum status st = report_walk(portal.db, course, put_student, &out);
    if (!st) {
        snprintf(disposition, sizeof(disposition), "attachment; filename=\"attendance-%s.csv\"",
                 course);
        http_set_header(req, "Content-Disposition", disposition);
        st = http_reply(req, 200, "text/csv; charset=utf-8", out.bytes, out.len);
    }
    strbuf_release(&out);
    return st;
}
