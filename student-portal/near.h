/* The near cache: students and their page in the memory of this process, for the event threads.
 *
 * It is on only while every invalidation is sure to arrive. What a fill read is kept only when the
 * student was not dropped, and the cache not switched, since the fill began: so nothing in it is
 * older than a drop. It only ever admits: what it does not know, or what looks wrong, is asked of
 * the database. Any thread. */
#pragma once
#include "user.h"
#include <stdatomic.h>
#include <stddef.h>

struct near;

/* Unchanged once made; freed with its last reference. */
struct near_entry {
    atomic_uint refs;
    struct user user;   /* as of one snapshot with the body */
    int64_t expires_ms; /* of clock_mono_ms */
    size_t len;
    char body[]; /* of GET /me/attendance, NUL-terminated; empty where only the user was read */
};

/* With one reference, the caller's. Expires in NEAR_TTL_MS. */
enum { NEAR_TTL_MS = 300 * 1000 };
struct near_entry *near_entry_new(const struct user *user, const char *body, size_t len);
struct near_entry *near_entry_ref(struct near_entry *e);
void near_entry_unref(struct near_entry *e); /* NULL is fine */

/* Room for `places` students; those used longest ago make room. Begins switched off. */
struct near *near_new(size_t places);
void near_free(struct near *n);            /* NULL is fine */
void near_switch(struct near *n, bool on); /* empties it, too */
bool near_is_on(const struct near *n);

/* A reference, or NULL. */
struct near_entry *near_get(struct near *n, int64_t student);
/* Before a fill reads anything; for near_put. */
uint64_t near_stamp(struct near *n, int64_t student);
/* Keep the entry (with a reference of its own), unless what it holds may be out of date. */
void near_put(struct near *n, struct near_entry *e, uint64_t stamp);
/* Something of the student has changed. */
void near_drop(struct near *n, int64_t student);
