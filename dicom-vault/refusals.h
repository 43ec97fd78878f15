/* Callers without a good key: counted by address, of IPv6 by network (http_network), so that a
 * flood of them neither fills the disk with audit entries nor goes on at full speed. One may fail
 * REFUSALS_TRIES times a minute; until that minute is over, nothing of it is looked at. Those past
 * REFUSALS_SOURCES in a minute are counted together as "elsewhere", and share
 * REFUSALS_TRIES_ELSEWHERE: a flood from everywhere makes strangers wait, also ones with a good
 * key. In memory; any thread, but for refusals_write. */
#pragma once
#include "index.h"
#include <stdint.h>

enum {
    REFUSALS_TRIES = 100,
    REFUSALS_TRIES_ELSEWHERE = 10 * REFUSALS_TRIES,
    REFUSALS_SOURCES = 256,
    REFUSALS_WINDOW_MS = 60 * 1000,
};

struct refusals;
struct refusals *refusals_new(void);
void refusals_free(struct refusals *r); /* NULL is fine */

/* 0, or the seconds that this address has to wait (counted as one more refusal). */
unsigned refusals_admit(struct refusals *r, const char *source, int64_t now_ms);
void refusals_count(struct refusals *r, const char *source, int64_t now_ms);
/* One audit entry an address, "refuse" with the count since the last time; what could not be
 * written is kept for the next time. Blocks. */
enum status refusals_write(struct refusals *r, struct index *ix, int64_t now_ms);
