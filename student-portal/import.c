#include "import.h"
#include "json.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { COLUMNS = 4, NAME_BYTES = 200, COURSES_BYTES = 1000 };
static const char *const header[COLUMNS] = {"account", "name", "role", "courses"};

void import_fail(struct import *im, size_t line, const char *fmt, ...)
{
    if (im->error_count++ >= IMPORT_ERRORS_MAX)
        return;
    struct import_error *error = &im->errors[im->error_count - 1];
    error->line = line;
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(error->reason, sizeof(error->reason), fmt, ap);
    va_end(ap);
}

/* `text` has room for the whole file: what it holds stays where it is. */
static const char *keep(struct import *im, const char *field)
{
    const char *at = im->text.bytes + im->text.len;
    strbuf_add(&im->text, field, strlen(field) + 1);
    return at;
}

static bool is_header(const struct csv *csv)
{
    bool same = csv->n == COLUMNS;
    for (size_t i = 0; i < COLUMNS && same; i++)
        same = strcmp(csv_field(csv, i), header[i]) == 0;
    return same;
}

/* What is wrong with a record, static; or NULL. */
static const char *fault_of(const struct csv *csv, roles *role)
{
    if (csv->fault)
        return csv->fault;
    if (csv->n != COLUMNS)
        return "four fields are wanted: account, name, role, courses";
    if (!name_valid(csv_field(csv, 0), ACCOUNT_MAX))
        return "account is 1 to 64 of letters, digits, dot, dash and underscore";
    const char *name = csv_field(csv, 1);
    if (!text_valid(name, strlen(name), 1, NAME_BYTES, false))
        return "name is 1 to 200 bytes of text";
    if (role_parse(csv_field(csv, 2), role))
        return "role is one of student, faculty and admin";
    const char *courses = csv_field(csv, 3);
    if (strlen(courses) > COURSES_BYTES)
        return "courses is at most 1000 bytes";
    if (*role != STUDENT && courses[strspn(courses, " ")])
        return "only students are enrolled in courses";
    return NULL;
}

static void read_line(struct import *im, const struct csv *csv)
{
    roles role;
    const char *fault = fault_of(csv, &role);
    if (fault) {
        import_fail(im, csv->line, "%s", fault);
        return;
    }
    if (im->n == im->size) {
        im->size = im->size ? im->size * 2 : 64;
        im->lines = xrealloc(im->lines, im->size * sizeof(im->lines[0]));
    }
    im->lines[im->n++] = (struct import_line){.line = csv->line,
                                              .account = keep(im, csv_field(csv, 0)),
                                              .name = keep(im, csv_field(csv, 1)),
                                              .courses = keep(im, csv_field(csv, 3)),
                                              .role = role};
}

static int compare_accounts(const void *left, const void *right)
{
    const struct import_line *const *a = left, *const *b = right;
    int order = strcmp((*a)->account, (*b)->account);
    return order ? order : ((*a)->line > (*b)->line) - ((*a)->line < (*b)->line);
}

static void refuse_twice(struct import *im)
{
    const struct import_line **sorted = xcalloc(im->n + 1, sizeof(*sorted));
    for (size_t i = 0; i < im->n; i++)
        sorted[i] = &im->lines[i];
    qsort(sorted, im->n, sizeof(*sorted), compare_accounts);
    for (size_t i = 1; i < im->n; i++)
        if (strcmp(sorted[i]->account, sorted[i - 1]->account) == 0)
            import_fail(im, sorted[i]->line, "%s stands on line %zu already", sorted[i]->account,
                        sorted[i - 1]->line);
    free(sorted);
}

static int compare_errors(const void *left, const void *right)
{
    const struct import_error *a = left, *b = right;
    return (a->line > b->line) - (a->line < b->line);
}

void import_parse(struct import *im, const char *bytes, size_t len)
{
    struct csv csv;
    *im = (struct import){.text = STRBUF_INIT};
    strbuf_reserve(&im->text, len + COLUMNS);
    csv_init(&csv, bytes, len);
    if (!csv_next(&csv) || csv.fault || !is_header(&csv))
        import_fail(im, 1, "the first line is: account,name,role,courses");
    else
        while (im->n < IMPORT_LINES_MAX && csv_next(&csv))
            read_line(im, &csv);
    if (im->n == IMPORT_LINES_MAX && csv_next(&csv))
        import_fail(im, csv.line, "more than %d people", IMPORT_LINES_MAX);
    csv_release(&csv);
    refuse_twice(im);
    size_t kept = im->error_count < IMPORT_ERRORS_MAX ? im->error_count : IMPORT_ERRORS_MAX;
    qsort(im->errors, kept, sizeof(im->errors[0]), compare_errors);
}

void import_release(struct import *im)
{
    free(im->lines);
    strbuf_release(&im->text);
}

bool import_next_course(const char **courses, char *code, size_t size)
{
    const char *at = *courses + strspn(*courses, " ");
    size_t len = strcspn(at, " ");
    *courses = at + len;
    if (!len)
        return false;
    snprintf(code, size, "%.*s", (int)len, at);
    return true;
}
