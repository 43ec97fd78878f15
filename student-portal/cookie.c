#include "cookie.h"
#include <string.h>

static const char *skip_blanks(const char *s)
{
    return s + strspn(s, " \t");
}

static size_t trimmed(const char *s, size_t len)
{
    while (len && (s[len - 1] == ' ' || s[len - 1] == '\t'))
        len--;
    return len;
}

/* The value when the pair s[0..len) has this name, or NULL. */
static const char *value_of(const char *s, size_t len, const char *name)
{
    size_t name_len = strlen(name);
    if (len <= name_len || s[name_len] != '=' || memcmp(s, name, name_len) != 0)
        return NULL;
    return s + name_len + 1;
}

enum status cookie_get(const char *header, const char *name, char *out, size_t size, bool *found)
{
    *found = false;
    for (const char *s = header; s && *s;) {
        s = skip_blanks(s);
        size_t len = strcspn(s, ";");
        size_t pair = trimmed(s, len);
        const char *value = value_of(s, pair, name);
        if (value) {
            size_t value_len = (size_t)(s + pair - value);
            if (*found || value_len >= size)
                return STATUS_BAD_REQUEST;
            memcpy(out, value, value_len);
            out[value_len] = '\0';
            *found = true;
        }
        s += len + (s[len] == ';');
    }
    return STATUS_OK;
}
