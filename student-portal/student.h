/* What the cache keeps for a student. */
#pragma once
#include "status.h"
#include "strbuf.h"
#include <stdint.h>

/* The body of GET /me/attendance from the database: a cache_load. */
enum status load_attendance(void *ctx, int64_t student, struct strbuf *body, int64_t *gen);
