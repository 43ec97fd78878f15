/* A memory of fixed size from 32-byte keys to values of one size: what it cannot hold it forgets,
 * oldest first among the keys that share a place. Keys are digests that an outsider cannot choose
 * (or keyed ones), so nobody can aim at a place. Not locked: its owner locks. */
#pragma once
#include <stddef.h>
#include <stdint.h>

enum { MEMO_KEY = 32 };

struct memo;

/* Room for `places` values (rounded up to a power of two) of `value_size` bytes. */
struct memo *memo_new(size_t places, size_t value_size);
void memo_free(struct memo *m); /* NULL is fine */
/* The value, to read and change in place until the next memo_put; NULL when it is not known. */
void *memo_get(struct memo *m, const uint8_t key[MEMO_KEY]);
/* As memo_get; an unknown key gets a zeroed value, in the place of the one touched longest ago. */
void *memo_put(struct memo *m, const uint8_t key[MEMO_KEY]);
void memo_drop(struct memo *m, const uint8_t key[MEMO_KEY]);
