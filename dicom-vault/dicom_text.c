#include "dicom_text.h"
#include "dicom_parse.h"
#include "utf8.h"
#include <string.h>

#define REPLACEMENT "\xEF\xBF\xBD"
enum { ESCAPE = 0x1B };

static size_t unpadded(const uint8_t *value, size_t len)
{
    while (len > 0 && (value[len - 1] == ' ' || value[len - 1] == '\0'))
        len--;
    return len;
}

enum dicom_charset dicom_charset(const uint8_t *value, size_t len)
{
    static const struct {
        const char *term;
        enum dicom_charset set;
    } terms[] = {
        {"ISO_IR 100", CHARSET_LATIN1},
        {"ISO 2022 IR 100", CHARSET_LATIN1},
        {"ISO_IR 192", CHARSET_UTF8},
    };
    const uint8_t *several = len > 0 ? memchr(value, '\\', len) : NULL;
    len = unpadded(value, several ? (size_t)(several - value) : len);
    for (size_t i = 0; i < sizeof(terms) / sizeof(terms[0]); i++)
        if (strlen(terms[i].term) == len && memcmp(terms[i].term, value, len) == 0)
            return terms[i].set;
    return CHARSET_ASCII;
}

static bool may_stand(uint32_t code, bool multiline)
{
    bool layout = code == '\t' || code == '\n' || code == '\f' || code == '\r';
    return !utf8_is_control(code) || (multiline && layout);
}

static void add_latin1(uint8_t byte, struct strbuf *out)
{
    strbuf_addch(out, (char)(0xC0 | byte >> 6));
    strbuf_addch(out, (char)(0x80 | (byte & 0x3F)));
}

void dicom_text(enum dicom_charset set, const uint8_t *value, size_t len, bool multiline,
                struct strbuf *out)
{
    len = unpadded(value, len);
    if (len > 0 && memchr(value, ESCAPE, len))
        set = CHARSET_ASCII; /* code extensions: other sets follow */
    for (size_t i = 0, n; i < len; i += n) {
        uint32_t code = value[i];
        n = 1;
        if (set == CHARSET_UTF8)
            n = utf8_next((const char *)value + i, len - i, &code);
        bool decoded = n > 0 && (code < 0x80 || set != CHARSET_ASCII);
        n = n ? n : 1;
        if (!decoded || !may_stand(code, multiline))
            strbuf_addstr(out, REPLACEMENT);
        else if (set == CHARSET_LATIN1 && code >= 0x80)
            add_latin1(value[i], out);
        else
            strbuf_add(out, value + i, n);
    }
}

/* U+00E0 to U+00FE but the division sign have their capital 32 before them. */
static void add_upper(const char *s, size_t n, uint32_t code, struct strbuf *out)
{
    bool latin1 = n == 2 && code >= 0xE0 && code <= 0xFE && code != 0xF7;
    if (code >= 'a' && code <= 'z')
        strbuf_addch(out, (char)(code - 'a' + 'A'));
    else if (latin1)
        add_latin1((uint8_t)(code - 0x20), out);
    else
        strbuf_add(out, s, n);
}

static void drop_end(struct strbuf *out, size_t start, const char *these)
{
    while (out->len > start && strchr(these, out->bytes[out->len - 1]))
        out->bytes[--out->len] = '\0';
}

void dicom_name_normalise(const char *name, size_t len, struct strbuf *out)
{
    size_t start = out->len;
    for (size_t i = 0, n; i < len && name[i] != '='; i += n) {
        uint32_t code;
        n = utf8_next(name + i, len - i, &code);
        if (n == 0)
            break;
        bool first = out->len == start || strchr("^ ", out->bytes[out->len - 1]);
        if (code == '^')
            drop_end(out, start, " ");
        if (code != ' ' || !first)
            add_upper(name + i, n, code, out);
    }
    drop_end(out, start, " ^");
}

bool dicom_uid_valid(const char *uid)
{
    size_t len = strlen(uid);
    return len > 0 && len <= DICOM_UID_MAX && strspn(uid, "0123456789.") == len;
}
