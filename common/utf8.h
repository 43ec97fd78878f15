/* UTF-8 as RFC 3629 has it: overlong forms, surrogates and code points past U+10FFFF are not
 * valid. Any thread. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The bytes (1 to 4) of the valid character at the start of `s`, which has `len` bytes, and its
 * code point; 0 when there is none. */
size_t utf8_next(const char *s, size_t len, uint32_t *code);
/* C0, DEL and C1: a terminal acts on them. */
bool utf8_is_control(uint32_t code);
