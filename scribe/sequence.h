/* Each room has a gapless, durable sequence 1, 2, 3 ... of messages: here it is made. */
#pragma once
#include "history.h"

struct entry {
    struct message message;
    enum status status; /* OK: message.seq is its place, durably */
    bool duplicate;     /* it had that place before: this was a retry */
};

struct prelude {
    enum status (*run)(void *ctx);
    void *ctx;
};

/* Give each of `n` messages the next place in its room and store them, in this order. A message
 * whose room, sender and client id are stored already gets the place it has. Other writers, here
 * or on other servers, may do the same at the same time: whoever is second at a place takes the
 * next one, so that no gap stays. A write whose outcome is unknown is tried again, and so settled
 * by reading back, until `deadline_ms` (monotonic); past it the entries that are not known to be
 * stored have OUTCOME_UNKNOWN: a retry with the same client id is the way to learn.
 *
 * `first` (or NULL) is what is to be written before them: in the same transaction, and as often as
 * that is tried, where the store has them; elsewhere once.
 *
 * Fills status, seq and duplicate of every entry, of which there may be none; returns whether all
 * is written. Blocks; the thread of `h`. */
enum status sequence_append(const struct history_driver *driver, struct history *h,
                            struct entry **entries, size_t n, const struct prelude *first,
                            int64_t deadline_ms);
