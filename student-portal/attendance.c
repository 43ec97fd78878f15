#include "attendance.h"
#include <string.h>

static const char *const names[MARKS] = {NULL, "present", "late", "absent", "excused"};

const char *mark_name(enum mark mark)
{
    return names[mark];
}

enum status mark_parse(const char *name, enum mark *out)
{
    *out = MARK_NONE;
    if (!name)
        return STATUS_OK;
    for (unsigned m = MARK_PRESENT; m < MARKS; m++)
        if (strcmp(name, names[m]) == 0) {
            *out = (enum mark)m;
            return STATUS_OK;
        }
    return STATUS_UNPROCESSABLE;
}

void totals_add(struct totals *t, enum mark mark)
{
    t->count[mark]++;
}

static uint64_t attended(const struct totals *t)
{
    return (uint64_t)t->count[MARK_PRESENT] + t->count[MARK_LATE];
}

static uint64_t counted(const struct totals *t)
{
    return attended(t) + t->count[MARK_ABSENT];
}

int totals_percentage(const struct totals *t)
{
    return counted(t) ? (int)(attended(t) * 100 / counted(t)) : -1;
}

bool totals_below_floor(const struct totals *t)
{
    return attended(t) * 100 < counted(t) * ATTENDANCE_FLOOR;
}
