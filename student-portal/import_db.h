/* An import in the database. Worker threads only. */
#pragma once
#include "audit.h"
#include "changes.h"
#include "import.h"

struct import_run {
    struct import *import;
    struct audit_actor by;
    size_t created, renamed, enrolled; /* out */
    struct changes changes;            /* out: what to publish; the caller's to release */
};
/* All lines or none, in one transaction: who is not there is created, without a password, who is
 * there gets the name; students are enrolled in the courses, and stay in those they are in.
 * UNPROCESSABLE: a course that there is none, or another role than the one they have; the import's
 * errors say which. UNAVAILABLE, OVERLOADED. */
enum status import_apply(struct db *db, struct import_run *run);
