/* The report of a course in the database. Worker threads only. */
#pragma once
#include "attendance.h"
#include "db.h"
#include "user.h"

/* A student's totals in the course, in the order of accounts. UNAVAILABLE, OVERLOADED. */
enum status report_walk(struct db *db, const char *course,
                        void (*each)(void *ctx, const struct user *student,
                                     const struct totals *totals),
                        void *ctx);
