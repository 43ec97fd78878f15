/* Whatever target is accepted: its names are harmless once decoded, and no second spelling of the
 * literal part reaches a route. */
#include "../fuzz.h"
#include "json.h"
#include "router.h"
#include <string.h>

static enum status handler(struct http_request *req)
{
    (void)req;
    return STATUS_OK;
}

static const struct route routes[] = {
    {GET, "/", ANYONE, NULL, INLINE, handler, NULL},
    {GET, "/public/{name}", ANYONE, NULL, INLINE, handler, NULL},
    {POST, "/public/{name}", 1, NULL, INLINE, handler, NULL},
    {GET, "/protected/all", 1, NULL, INLINE, handler, NULL},
    {GET, "/protected/{a}", 1, NULL, INLINE, handler, NULL},
    {GET, "/protected/{a}/x/{b}", 1, NULL, INLINE, handler, NULL},
    {DELETE, "/{a}/{b}/{c}/{d}", 1, NULL, INLINE, handler, NULL},
};

static void check_params(const struct route_match *m)
{
    for (size_t i = 0; i < m->params; i++) {
        const char *value = m->param[i].value;
        size_t len = strlen(value);
        require(text_valid(value, len, 1, ROUTER_PARAM_MAX, false));
        require(!strpbrk(value, "/\\"));
        require(strcmp(value, ".") != 0 && strcmp(value, "..") != 0);
    }
}

/* The pattern's literals stand in the target byte by byte. */
static void check_literals(const char *pattern, const char *target)
{
    while (*pattern) {
        if (*pattern == '{') {
            pattern += strcspn(pattern, "/");
            target += strcspn(target, "/?");
        } else {
            require(*pattern++ == *target++);
        }
    }
    require(*target == '\0' || *target == '?');
}

static void check_query(const char *query)
{
    static const char *const known[] = {"after", NULL};
    struct strbuf value = STRBUF_INIT, why = STRBUF_INIT;
    bool found;
    if (query_get(query, "after", &value, &found) == STATUS_OK && found) {
        require(strlen(strbuf_cstr(&value)) == value.len);
        require(value.len <= strlen(query));
    }
    if (query_only(query, known, &why) == STATUS_OK && *query && !strchr(query, '&')) {
        bool again;
        strbuf_reset(&value);
        require(query_get(query, "after", &value, &again) != STATUS_OK || again);
    }
    strbuf_release(&value);
    strbuf_release(&why);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    static const char *const methods[] = {"GET", "HEAD", "POST", "DELETE", "OPTIONS", "get"};
    struct router router;
    struct route_match m;
    struct strbuf why = STRBUF_INIT;
    if (len == 0)
        return 0;
    char *target = strndup((const char *)bytes + 1, len - 1);
    require(router_init(&router, routes, sizeof(routes) / sizeof(routes[0]), &why) == STATUS_OK);
    enum status s = router_match(&router, methods[bytes[0] % 6], target, &m, &why);
    if (s == STATUS_OK) {
        require(strcspn(target, "?") <= ROUTER_PATH_MAX);
        check_params(&m);
        check_literals(m.route->pattern, target);
    }
    require(s == STATUS_OK || why.len > 0);
    check_query(target + strcspn(target, "?") + (strchr(target, '?') != NULL));
    free(target);
    strbuf_release(&why);
    return 0;
}
