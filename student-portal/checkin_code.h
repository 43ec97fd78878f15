/* The code on the wall that proves one is in the room: six digits that change every
 * CHECK_IN_STEP_S, made of the session's key and the time as in TOTP (RFC 6238). Any thread. */
#pragma once
#include "attendance.h"
#include <stdbool.h>
#include <stdint.h>

enum {
    CHECK_IN_KEY = 32, /* bytes */
    CHECK_IN_STEP_S = 30,
    CHECK_IN_LATE_S = 600,  /* from the session's start on */
    CHECK_IN_TRIES_MAX = 8, /* wrong codes of a student in a session */
    CHECK_IN_CODE_SIZE = 7,
};

void check_in_code(const uint8_t key[CHECK_IN_KEY], int64_t unix_ms, char out[CHECK_IN_CODE_SIZE]);
/* Is it the code of now, or the one before, which somebody may still be typing? */
bool check_in_code_holds(const uint8_t key[CHECK_IN_KEY], int64_t unix_ms, const char *code);
/* How long the code of now stays on the wall, in ms. */
int64_t check_in_code_left(int64_t unix_ms);
/* Who comes CHECK_IN_LATE_S after the start is late. */
enum mark check_in_mark(int64_t starts_ms, int64_t now_ms);
