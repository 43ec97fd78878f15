/* Logins that fail are slowed: per account from one address, per account from anywhere, and per
 * address (of IPv6: per /64). A campus behind one address is not locked out by one bad student: an
 * account that has logged in from there before is not held to the address' failures, and others
 * wait seconds. Kept in this process, so that it holds when Redis is down. Any thread. */
#pragma once
#include "status.h"
#include <stdint.h>

struct throttle;

struct throttle *throttle_new(void);
void throttle_free(struct throttle *t); /* NULL is fine */

/* May this account be tried from this address now? An attempt is counted against its account before
 * the password is looked at, so that many at once do not all slip by; against its address only when
 * the password was wrong, since 1,500 newcomers behind one address are no guessing. RATE_LIMITED
 * with the seconds to wait in *retry_s (then nothing is counted). After OK call one of the three
 * below. */
enum status throttle_admit(struct throttle *t, const char *account, const char *address,
                           int64_t now_ms, unsigned *retry_s);
/* The password was wrong. */
void throttle_failed(struct throttle *t, const char *account, const char *address, int64_t now_ms);
/* The password was right: forget this address's failures. (The account's from elsewhere stay.) */
void throttle_verified(struct throttle *t, const char *account, const char *address);
/* No password was looked at: take the count back. */
void throttle_refund(struct throttle *t, const char *account, const char *address);
