#include "utf8.h"

/* By the first byte: its payload bits, the length, the lowest code point of that length. */
static const struct {
    unsigned char mask, lead, bits;
    size_t len;
    uint32_t lowest;
} forms[] = {
    {0x80, 0x00, 0x7F, 1, 0},
    {0xE0, 0xC0, 0x1F, 2, 0x80},
    {0xF0, 0xE0, 0x0F, 3, 0x800},
    {0xF8, 0xF0, 0x07, 4, 0x10000},
};

static bool is_scalar(uint32_t code)
{
    return code <= 0x10FFFF && (code < 0xD800 || code > 0xDFFF);
}

size_t utf8_next(const char *s, size_t len, uint32_t *code)
{
    if (len == 0)
        return 0;
    const unsigned char *u = (const unsigned char *)s;
    size_t f = 0;
    while (f < 4 && (u[0] & forms[f].mask) != forms[f].lead)
        f++;
    if (f == 4 || forms[f].len > len)
        return 0;
    uint32_t c = u[0] & forms[f].bits;
    for (size_t i = 1; i < forms[f].len; i++) {
        if ((u[i] & 0xC0) != 0x80)
            return 0;
        c = c << 6 | (u[i] & 0x3F);
    }
    if (c < forms[f].lowest || !is_scalar(c))
        return 0;
    *code = c;
    return forms[f].len;
}

bool utf8_is_control(uint32_t code)
{
    return code < 0x20 || (code >= 0x7F && code < 0xA0);
}
