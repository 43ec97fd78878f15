#include "page.h"
#include "json.h"
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

struct marked {
    int64_t session;
    enum mark mark;
};

/* A student's lists, sorted by id. */
struct lists {
    int64_t *courses;
    struct marked *marks;
    size_t course_count, mark_count;
};

static int compare_ids(const void *left, const void *right)
{
    int64_t a = *(const int64_t *)left, b = *(const int64_t *)right; /* also of struct marked */
    return (a > b) - (a < b);
}

/* Room for as many as there are commas, and one. */
static void *room_for(const char *list, size_t size)
{
    size_t n = 1;
    for (const char *s = list; s && (s = strchr(s, ',')); s++)
        n++;
    return xcalloc(n, size);
}

static void read_lists(const struct attendance_page *page, struct lists *out)
{
    char *s = (char *)(uintptr_t)page->courses;
    *out = (struct lists){room_for(page->courses, sizeof(*out->courses)),
                          room_for(page->marks, sizeof(*out->marks)), 0, 0};
    for (; s && *s; s += *s == ',')
        out->courses[out->course_count++] = strtoll(s, &s, 10);
    s = (char *)(uintptr_t)page->marks;
    for (; s && *s; s += *s == ',') {
        struct marked *m = &out->marks[out->mark_count++];
        m->session = strtoll(s, &s, 10);
        unsigned long mark = strtoul(s, &s, 10);
        m->mark = mark < MARKS ? (enum mark)mark : MARK_NONE;
    }
    qsort(out->courses, out->course_count, sizeof(out->courses[0]), compare_ids);
    qsort(out->marks, out->mark_count, sizeof(out->marks[0]), compare_ids);
}

static void release_lists(struct lists *l)
{
    free(l->courses);
    free(l->marks);
}

static bool takes(const struct lists *l, int64_t course)
{
    return bsearch(&course, l->courses, l->course_count, sizeof(l->courses[0]), compare_ids);
}

static enum mark mark_in(const struct lists *l, int64_t session)
{
    const struct marked *m =
        bsearch(&session, l->marks, l->mark_count, sizeof(l->marks[0]), compare_ids);
    return m ? m->mark : MARK_NONE;
}

static void write_session(struct strbuf *out, const struct class_session *s, enum mark mark)
{
    strbuf_addf(out, "{\"session\":\"%" PRId64 "\",\"starts_at\":\"%s\",\"mark\":", s->id,
                s->starts_at);
    if (mark)
        strbuf_addf(out, "\"%s\"}", mark_name(mark));
    else
        strbuf_addstr(out, "null}");
}

static void write_totals(struct strbuf *out, const struct totals *t)
{
    int percentage = totals_percentage(t);
    strbuf_addstr(out, "],\"totals\":{");
    for (unsigned m = MARK_PRESENT; m < MARKS; m++)
        strbuf_addf(out, "\"%s\":%" PRIu32 ",", mark_name(m), t->count[m]);
    strbuf_addf(out, "\"unmarked\":%" PRIu32 "},\"percentage\":", t->count[MARK_NONE]);
    if (percentage < 0)
        strbuf_addstr(out, "null");
    else
        strbuf_addf(out, "%d", percentage);
    strbuf_addf(out, ",\"below_75\":%s}", totals_below_floor(t) ? "true" : "false");
}

/* The `n` class sessions of one course. */
static void write_course(struct strbuf *out, const struct class_session *s, size_t n,
                         const struct lists *lists)
{
    struct totals totals = {{0}};
    strbuf_addstr(out, "{\"course\":");
    json_write_text(out, s->course);
    strbuf_addstr(out, ",\"title\":");
    json_write_text(out, s->title);
    strbuf_addstr(out, ",\"sessions\":[");
    for (size_t i = 0; i < n && s[i].id; i++) {
        enum mark mark = mark_in(lists, s[i].id);
        totals_add(&totals, mark);
        if (i)
            strbuf_addch(out, ',');
        write_session(out, &s[i], mark);
    }
    write_totals(out, &totals);
}

/* How many class sessions stand together from `i` on. */
static size_t run_length(const struct timetable *t, size_t i)
{
    size_t n = 1;
    while (i + n < t->n && t->at[i + n].course_id == t->at[i].course_id)
        n++;
    return n;
}

/* Those courses of the student's that are `only`, or all; how many that were. */
static size_t write_courses(struct strbuf *out, const struct attendance_page *page,
                            const char *only)
{
    struct lists lists;
    size_t written = 0, n;
    const struct timetable *t = page->timetable;
    read_lists(page, &lists);
    for (size_t i = 0; i < t->n; i += n) {
        n = run_length(t, i);
        if (!takes(&lists, t->at[i].course_id) || (only && strcmp(only, t->at[i].course) != 0))
            continue;
        if (written++)
            strbuf_addch(out, ',');
        write_course(out, &t->at[i], n, &lists);
    }
    release_lists(&lists);
    return written;
}

void page_write(struct strbuf *out, const struct attendance_page *page)
{
    strbuf_addstr(out, "{\"courses\":[");
    write_courses(out, page, NULL);
    strbuf_addstr(out, "]}");
}

bool page_write_course(struct strbuf *out, const struct attendance_page *page, const char *course)
{
    return write_courses(out, page, course) == 1;
}
