#include "checkin_code.h"
#include "secret.h"
#include <stdio.h>
#include <string.h>

enum { STEP_MS = CHECK_IN_STEP_S * 1000, CODES = 1000000 };

/* Dynamic truncation as in RFC 4226, section 5.3: four bytes from where the last half byte says. */
static void code_of_step(const uint8_t key[CHECK_IN_KEY], int64_t step,
                         char out[CHECK_IN_CODE_SIZE])
{
    uint8_t counter[8], mac[32];
    for (int i = 7; i >= 0; i--, step >>= 8)
        counter[i] = (uint8_t)(step & 0xFF);
    secret_hmac_sha256(key, CHECK_IN_KEY, counter, sizeof(counter), mac);
    const uint8_t *at = mac + (mac[31] & 0x0F);
    uint32_t number = (uint32_t)(at[0] & 0x7F) << 24 | (uint32_t)at[1] << 16 |
                      (uint32_t)at[2] << 8 | (uint32_t)at[3];
    snprintf(out, CHECK_IN_CODE_SIZE, "%06u", number % CODES);
}

void check_in_code(const uint8_t key[CHECK_IN_KEY], int64_t unix_ms, char out[CHECK_IN_CODE_SIZE])
{
    code_of_step(key, unix_ms / STEP_MS, out);
}

bool check_in_code_holds(const uint8_t key[CHECK_IN_KEY], int64_t unix_ms, const char *code)
{
    char now[CHECK_IN_CODE_SIZE], before[CHECK_IN_CODE_SIZE];
    if (strlen(code) != CHECK_IN_CODE_SIZE - 1)
        return false;
    code_of_step(key, unix_ms / STEP_MS, now);
    code_of_step(key, unix_ms / STEP_MS - 1, before);
    bool is_now = secret_equal(code, now, CHECK_IN_CODE_SIZE - 1);
    bool was_before = secret_equal(code, before, CHECK_IN_CODE_SIZE - 1);
    return is_now || was_before;
}

int64_t check_in_code_left(int64_t unix_ms)
{
    return STEP_MS - unix_ms % STEP_MS;
}

enum mark check_in_mark(int64_t starts_ms, int64_t now_ms)
{
    return now_ms < starts_ms + (int64_t)CHECK_IN_LATE_S * 1000 ? MARK_PRESENT : MARK_LATE;
}
