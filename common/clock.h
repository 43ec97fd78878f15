/* Time: deadlines on the monotonic clock, timestamps in RFC 3339 UTC. Any thread. */
#pragma once
#include "status.h"
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

int64_t clock_mono_ms(void); /* never goes back; only differences mean something */
int64_t clock_mono_us(void);
int64_t clock_unix_ms(void); /* since 1970-01-01T00:00:00Z */

/* A condition whose waits end by the monotonic clock: setting the time of day moves none. */
void clock_cond_init(pthread_cond_t *cond);
/* With `lock` held, as pthread_cond_wait. False when clock_mono_ms is past `deadline_ms`. */
bool clock_cond_wait(pthread_cond_t *cond, pthread_mutex_t *lock, int64_t deadline_ms);

#define RFC3339_SIZE sizeof("2026-01-31T09:00:00.123Z")
/* Always 24 characters and NUL, milliseconds included. */
void rfc3339_format(int64_t unix_ms, char out[RFC3339_SIZE]);
/* Accepts up to 9 fractional digits (cut to ms) and an offset; BAD_REQUEST otherwise. */
enum status rfc3339_parse(const char *text, int64_t *unix_ms);
