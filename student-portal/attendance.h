/* What attendance means: the rules, without any library. Any thread. */
#pragma once
#include "status.h"
#include <stdbool.h>
#include <stdint.h>

/* As in the database; MARK_NONE is a session nobody has marked yet. */
enum mark { MARK_NONE, MARK_PRESENT, MARK_LATE, MARK_ABSENT, MARK_EXCUSED, MARKS };

/* "present", "late", "absent", "excused"; NULL for MARK_NONE. Static. */
const char *mark_name(enum mark mark);
/* UNPROCESSABLE for any other word; NULL reads as MARK_NONE. */
enum status mark_parse(const char *name, enum mark *out);

enum { ATTENDANCE_FLOOR = 75, COURSE_MAX = 32 /* characters of a course code */ };

struct totals {
    uint32_t count[MARKS];
};

void totals_add(struct totals *t, enum mark mark);
/* Who came late was there; who was excused, and what is not marked yet, does not count. In whole
 * per cent, rounded down, so that 75 is never shown for less; -1 when nothing counts yet. */
int totals_percentage(const struct totals *t);
/* Under ATTENDANCE_FLOOR per cent exactly (74.99 is), with at least one mark that counts. */
bool totals_below_floor(const struct totals *t);
