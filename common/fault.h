/* Faults on request, for a demo that shows what survives them: off unless DEMO_FAULTS=1, which
 * every service takes, and then only for who gives DEMO_FAULT_KEY as a bearer token. Any thread
 * after fault_init. */
#pragma once
#include "status.h"
#include <stdbool.h>

enum { FAULT_KEY_MIN = 32 };

/* `key` has FAULT_KEY_MIN bytes at least when `on`, and lives on. Main thread, at start. */
void fault_init(bool on, const char *key);
bool fault_on(void);
/* Of an Authorization header: OK for the right key; NOT_FOUND when off; FORBIDDEN for another key,
 * or NULL. */
enum status fault_check(const char *authorization);
/* End the process at once, as a bug would: nothing is flushed, nobody told. */
_Noreturn void fault_crash(void);
