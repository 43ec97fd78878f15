/* Which key wraps, and how often it did. The index says so, in wrapping_keys, for the server and
 * the commands beside it: a row that names another key than the newest is not taken. Blocks. */
#pragma once
#include "sqlite.h"
#include "status.h"
#include <pthread.h>
#include <stdint.h>

struct index;
enum { WRAPS_BLOCK = 4096 };
#define WRAPS_MAX (INT64_C(1) << 32) /* with random nonces of 96 bits: NIST SP 800-38D, 8.3 */

struct wraps {
    pthread_mutex_t lock;
    uint32_t key_id;
    uint32_t left; /* of the block that was reserved */
};

void wraps_init(struct wraps *w);
void wraps_release(struct wraps *w);
/* One wrap: under *key_id. UNAVAILABLE, logged, when the key is worn out and another one must be
 * made (`rotate`); as index_write. Any thread. */
enum status wraps_take(struct wraps *w, struct index *ix, uint32_t *key_id);
/* Another key is the newest by now: the block is worth nothing. */
void wraps_drop(struct wraps *w);

/* Inside a write transaction: the key that wraps; and `n` more wraps of it. */
enum status wraps_newest(struct sqlite *db, uint32_t *key_id);
enum status wraps_reserve(struct sqlite *db, uint32_t key_id, uint32_t n);
