#include "router.h"
#include "json.h"
#include <string.h>

/* --- characters (RFC 3986, section 2) ------------------------------------------------------- */

static bool is_unreserved(unsigned c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
           (c && c < 0x80 && strchr("-._~", (int)c));
}

/* What may stand in a path segment as it is. */
static bool is_pchar(unsigned c)
{
    return is_unreserved(c) || (c && c < 0x80 && strchr("!$&'()*+,;=:@", (int)c));
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The byte at *p, decoded, and step over it; -1 for a broken escape. */
static int take_byte(const char **p, const char *end)
{
    const char *s = *p;
    if (*s != '%') {
        (*p)++;
        return (unsigned char)*s;
    }
    int high = end - s > 2 ? hex_digit(s[1]) : -1;
    int low = end - s > 2 ? hex_digit(s[2]) : -1;
    if (high < 0 || low < 0)
        return -1;
    *p += 3;
    return high * 16 + low;
}

/* --- the path ------------------------------------------------------------------------------- */

/* A byte that came as %XX: upper-case hex, needed, and harmless once decoded. */
static const char *escape_fault(const char *s, int byte)
{
    if (byte < 0)
        return "broken percent-encoding";
    if (byte < 0x20 || byte == 0x7F)
        return "control character";
    if (byte == '/' || byte == '\\')
        return "encoded slash";
    if (is_unreserved((unsigned)byte))
        return "needless percent-encoding";
    if ((s[1] >= 'a' && s[1] <= 'f') || (s[2] >= 'a' && s[2] <= 'f'))
        return "lower-case percent-encoding";
    return NULL;
}

/* NULL when the segment is canonical, otherwise what is wrong. */
static const char *segment_fault(const char *s, size_t len)
{
    char decoded[ROUTER_PATH_MAX];
    size_t n = 0;
    if (len == 0)
        return "empty segment";
    if ((len == 1 && s[0] == '.') || (len == 2 && s[0] == '.' && s[1] == '.'))
        return "dot segment";
    for (const char *p = s, *end = s + len; p < end;) {
        const char *start = p;
        int byte = take_byte(&p, end);
        const char *fault = NULL;
        if (*start == '%')
            fault = escape_fault(start, byte);
        else if (!is_pchar((unsigned)byte))
            fault = "character that may not stand in a path";
        if (fault)
            return fault;
        decoded[n++] = (char)byte;
    }
    return text_valid(decoded, n, 1, sizeof(decoded), false) ? NULL : "not UTF-8";
}

static const char *path_fault(const char *path, size_t len)
{
    if (len == 0 || path[0] != '/')
        return "the target is not a path";
    if (len > ROUTER_PATH_MAX)
        return "path too long";
    if (len == 1)
        return NULL;
    for (const char *s = path + 1, *end = path + len; s <= end;) {
        const char *slash = memchr(s, '/', (size_t)(end - s));
        size_t n = (size_t)((slash ? slash : end) - s);
        const char *fault = segment_fault(s, n);
        if (fault)
            return fault;
        s += n + 1;
    }
    return NULL;
}

static const char *query_fault(const char *query)
{
    for (const char *p = query; *p; p++)
        if ((unsigned char)*p <= ' ' || (unsigned char)*p >= 0x7F || *p == '#')
            return "character that may not stand in a query";
    return NULL;
}

/* --- patterns ------------------------------------------------------------------------------- */

/* One segment of a path or a pattern, and the rest behind it. */
struct segment {
    const char *s;
    size_t len;
};

static bool next_segment(const char **path, const char *end, struct segment *out)
{
    if (*path >= end)
        return false;
    const char *s = *path + 1; /* over the slash */
    const char *slash = memchr(s, '/', (size_t)(end - s));
    *out = (struct segment){s, (size_t)((slash ? slash : end) - s)};
    *path = s + out->len;
    return true;
}

static bool is_param(struct segment seg)
{
    return seg.len > 0 && seg.s[0] == '{';
}

static bool same_text(struct segment a, struct segment b)
{
    return a.len == b.len && memcmp(a.s, b.s, a.len) == 0;
}

enum overlap {
    APART,       /* no path matches both */
    SAME,        /* the same but for the names of parameters */
    FIRST_FINER, /* some path matches both; where they part, the first has the literal */
    SECOND_FINER,
};

static enum overlap patterns_overlap(const char *a, const char *b)
{
    const char *a_end = a + strlen(a), *b_end = b + strlen(b);
    enum overlap found = SAME;
    struct segment x, y;
    for (;;) {
        bool more_a = next_segment(&a, a_end, &x), more_b = next_segment(&b, b_end, &y);
        if (more_a != more_b)
            return APART;
        if (!more_a)
            return found;
        if (x.len == 0 || y.len == 0 || (!is_param(x) && !is_param(y)))
            if (!same_text(x, y))
                return APART;
        if (found == SAME && is_param(x) != is_param(y))
            found = is_param(y) ? FIRST_FINER : SECOND_FINER;
    }
}

/* Does the path have the pattern's shape? */
static bool pattern_matches(const char *pattern, const char *path, const char *path_end)
{
    const char *pattern_end = pattern + strlen(pattern);
    struct segment want, have;
    for (;;) {
        bool more = next_segment(&pattern, pattern_end, &want);
        if (more != next_segment(&path, path_end, &have))
            return false;
        if (!more)
            return true;
        if (is_param(want) ? have.len == 0 : !same_text(want, have))
            return false;
    }
}

/* --- the table ------------------------------------------------------------------------------ */

static bool param_name_valid(struct segment seg)
{
    if (seg.len < 3 || seg.s[seg.len - 1] != '}')
        return false;
    for (size_t i = 1; i < seg.len - 1; i++)
        if (!is_unreserved((unsigned char)seg.s[i]))
            return false;
    return true;
}

/* Literals are of unreserved characters only, since these have one spelling. */
static bool literal_valid(struct segment seg)
{
    for (size_t i = 0; i < seg.len; i++)
        if (!is_unreserved((unsigned char)seg.s[i]))
            return false;
    return segment_fault(seg.s, seg.len) == NULL;
}

static const char *pattern_fault(const char *pattern)
{
    if (!pattern || pattern[0] != '/' || strlen(pattern) > ROUTER_PATH_MAX)
        return "the pattern is no path";
    if (!pattern[1])
        return NULL;
    struct segment seg;
    size_t params = 0;
    for (const char *p = pattern, *end = p + strlen(p); next_segment(&p, end, &seg);) {
        if (is_param(seg) ? !param_name_valid(seg) : !literal_valid(seg))
            return "the pattern is not canonical";
        if (is_param(seg) && ++params > ROUTER_PARAMS_MAX)
            return "too many parameters";
    }
    return NULL;
}

static const char *row_fault(const struct route *row)
{
    if (row->method != GET && (row->method < POST || row->method > DELETE))
        return "the method is not GET, POST, PUT, PATCH or DELETE";
    if (!row->who)
        return "no roles";
    if (row->run < INLINE || row->run > INLINE_OR_POOL)
        return "no place to run";
    if (!row->handler)
        return "no handler";
    if (row->body && row->run != BLOCKING)
        return "a streamed body is for BLOCKING";
    return pattern_fault(row->pattern);
}

/* Of row `i` and one before it; notes which row was the first of the pattern. */
static const char *pair_fault(struct router *r, size_t before_i, size_t i)
{
    const struct route *before = &r->routes[before_i], *row = &r->routes[i];
    enum overlap overlap = patterns_overlap(before->pattern, row->pattern);
    if (overlap == SAME)
        r->first[i] = r->first[before_i];
    if (overlap == SAME && before->method == row->method)
        return "the same as a row before";
    if (overlap == SECOND_FINER)
        return "must stand before the row whose {name} shadows it";
    return NULL;
}

enum status router_init(struct router *r, const struct route *routes, size_t n, struct strbuf *why)
{
    *r = (struct router){.routes = routes, .n = n};
    for (size_t i = 0; i < n; i++) {
        const char *fault = i == ROUTER_ROUTES_MAX ? "too many rows" : row_fault(&routes[i]);
        if (!fault)
            r->first[i] = (uint8_t)i;
        for (size_t before = 0; before < i && !fault; before++)
            fault = pair_fault(r, before, i);
        if (!fault)
            continue;
        strbuf_addf(why, "route %zu (%s): %s", i + 1, routes[i].pattern ? routes[i].pattern : "-",
                    fault);
        return STATUS_UNPROCESSABLE;
    }
    return STATUS_OK;
}

/* --- the match ------------------------------------------------------------------------------ */

static const struct {
    const char *token;
    enum method method;
} methods[] = {
    {"GET", GET},     {"HEAD", HEAD},     {"POST", POST},       {"PUT", PUT},
    {"PATCH", PATCH}, {"DELETE", DELETE}, {"OPTIONS", OPTIONS},
};
enum { METHODS = sizeof(methods) / sizeof(methods[0]) };

static unsigned method_parse(const char *token)
{
    for (size_t i = 0; i < METHODS; i++)
        if (strcmp(token, methods[i].token) == 0)
            return methods[i].method;
    return 0;
}

/* The row for `method` among those of the first pattern that has the path's shape. */
static const struct route *find_route(const struct router *r, unsigned method, const char *path,
                                      const char *end, unsigned *allow)
{
    const struct route *first = NULL, *found = NULL;
    for (const struct route *row = r->routes; row < r->routes + r->n; row++) {
        if (first ? r->first[row - r->routes] != first - r->routes
                  : !pattern_matches(row->pattern, path, end))
            continue;
        if (!first)
            first = found = row;
        if (row->method == method || (row->method == GET && (method == HEAD || method == OPTIONS)))
            found = row;
        *allow |= 1U << row->method | 1U << OPTIONS;
        if (row->method == GET)
            *allow |= 1U << HEAD;
    }
    return found;
}

/* BAD_REQUEST for a value that is too long for any name that exists. */
static enum status take_params(struct route_match *m, const char *path, const char *path_end)
{
    const char *pattern = m->route->pattern, *pattern_end = pattern + strlen(pattern);
    struct segment want, have;
    while (next_segment(&pattern, pattern_end, &want) && next_segment(&path, path_end, &have)) {
        if (!is_param(want))
            continue;
        struct route_param *param = &m->param[m->params++];
        param->name = want.s + 1;
        param->name_len = want.len - 2;
        size_t n = 0;
        for (const char *p = have.s, *end = p + have.len; p < end;) {
            if (n == ROUTER_PARAM_MAX)
                return STATUS_BAD_REQUEST;
            param->value[n++] = (char)take_byte(&p, end);
        }
        param->value[n] = '\0';
    }
    return STATUS_OK;
}

static enum status fail(struct strbuf *why, enum status s, const char *text)
{
    strbuf_addstr(why, text);
    return s;
}

enum status router_match(const struct router *r, const char *method, const char *target,
                         struct route_match *m, struct strbuf *why)
{
    const char *end = target + strcspn(target, "?");
    unsigned wanted = method_parse(method);
    m->route = NULL;
    m->head = wanted == HEAD;
    m->allow = 0;
    m->params = 0;
    m->query = *end ? end + 1 : end;

    const char *fault = path_fault(target, (size_t)(end - target));
    if (!fault)
        fault = query_fault(m->query);
    if (fault)
        return fail(why, STATUS_BAD_REQUEST, fault);
    m->route = find_route(r, wanted, target, end, &m->allow);
    if (!m->route)
        return fail(why, STATUS_NOT_FOUND, "no such path");
    if (!(m->allow & 1U << wanted))
        return fail(why, STATUS_METHOD_NOT_ALLOWED, "the path has no such method");
    if (take_params(m, target, end))
        return fail(why, STATUS_BAD_REQUEST, "name in the path too long");
    return STATUS_OK;
}

const char *route_param(const struct route_match *m, const char *name)
{
    size_t len = strlen(name);
    for (size_t i = 0; i < m->params; i++)
        if (m->param[i].name_len == len && memcmp(m->param[i].name, name, len) == 0)
            return m->param[i].value;
    return NULL;
}

void router_allow(unsigned allow, struct strbuf *out)
{
    const char *between = "";
    for (size_t i = 0; i < METHODS; i++) {
        if (!(allow & 1U << methods[i].method))
            continue;
        strbuf_addstr(out, between);
        strbuf_addstr(out, methods[i].token);
        between = ", ";
    }
}

/* --- the query ------------------------------------------------------------------------------ */

/* The next non-empty name=value of the query; false at the end. */
static bool next_pair(const char **query, struct segment *name, struct segment *value)
{
    const char *s = *query + strspn(*query, "&");
    size_t len = strcspn(s, "&");
    if (len == 0)
        return false;
    const char *equals = memchr(s, '=', len);
    size_t name_len = equals ? (size_t)(equals - s) : len;
    *name = (struct segment){s, name_len};
    *value = equals ? (struct segment){equals + 1, len - name_len - 1} : (struct segment){s, 0};
    *query = s + len;
    return true;
}

/* Compared decoded, so that no spelling of a name slips past a check for twice. */
static bool name_is(struct segment raw, const char *name)
{
    for (const char *p = raw.s, *end = raw.s + raw.len; p < end; name++) {
        int byte = take_byte(&p, end);
        if (byte <= 0 || byte != (unsigned char)*name)
            return false;
    }
    return *name == '\0';
}

static enum status decode_value(struct segment raw, struct strbuf *out)
{
    size_t start = out->len;
    for (const char *p = raw.s, *end = raw.s + raw.len; p < end;) {
        int byte = take_byte(&p, end);
        if (byte < 0)
            return STATUS_BAD_REQUEST;
        strbuf_addch(out, (char)byte);
    }
    size_t len = out->len - start;
    return text_valid(strbuf_cstr(out) + start, len, 0, len, true) ? STATUS_OK : STATUS_BAD_REQUEST;
}

enum status query_get(const char *query, const char *name, struct strbuf *out, bool *found)
{
    struct segment key, value;
    *found = false;
    while (next_pair(&query, &key, &value)) {
        if (!name_is(key, name))
            continue;
        if (*found || decode_value(value, out))
            return STATUS_BAD_REQUEST;
        *found = true;
    }
    return STATUS_OK;
}

enum status query_only(const char *query, const char *const *known, struct strbuf *why)
{
    struct segment key, value;
    while (next_pair(&query, &key, &value)) {
        const char *const *name = known;
        while (*name && !name_is(key, *name))
            name++;
        if (!*name)
            return fail(why, STATUS_BAD_REQUEST, "unknown name in the query");
    }
    return STATUS_OK;
}
