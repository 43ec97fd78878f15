#include "range.h"
#include <stddef.h>
#include <strings.h>

/* Digits from *p on, saturating; returns how many. */
static size_t parse_number(const char **p, uint64_t *out)
{
    size_t n = 0;
    for (*out = 0; **p >= '0' && **p <= '9'; ++*p, n++)
        if (__builtin_mul_overflow(*out, 10, out) ||
            __builtin_add_overflow(*out, (uint64_t)(**p - '0'), out))
            *out = UINT64_MAX;
    return n;
}

static enum status suffix(uint64_t wanted, uint64_t size, uint64_t *first, uint64_t *len)
{
    if (wanted == 0 || size == 0)
        return STATUS_RANGE_NOT_SATISFIABLE;
    *len = wanted < size ? wanted : size;
    *first = size - *len;
    return STATUS_OK;
}

enum status range_parse(const char *header, uint64_t size, uint64_t *first, uint64_t *len,
                        bool *partial)
{
    uint64_t from, to = UINT64_MAX;
    *first = 0;
    *len = size;
    *partial = false;
    if (!header || strncasecmp(header, "bytes=", 6) != 0)
        return STATUS_OK;
    const char *p = header + 6;
    size_t from_digits = parse_number(&p, &from);
    if (*p++ != '-')
        return STATUS_OK;
    size_t to_digits = parse_number(&p, &to);
    if (*p != '\0' || from_digits + to_digits == 0)
        return STATUS_OK;
    if (from_digits && to_digits && to < from)
        return STATUS_OK;
    *partial = true;
    if (from_digits == 0)
        return suffix(to, size, first, len);
    if (from >= size)
        return STATUS_RANGE_NOT_SATISFIABLE;
    *first = from;
    *len = to_digits && to < size - 1 ? to - from + 1 : size - from;
    return STATUS_OK;
}
