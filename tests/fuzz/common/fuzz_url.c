/* What is accepted has a scheme, a path that begins with a slash, and names no parameter
 * twice. */
#include "../fuzz.h"
#include "url.h"
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    char *text = strndup((const char *)bytes, len);
    struct url u;
    struct strbuf why = STRBUF_INIT;
    if (url_parse(text, &u, &why) == STATUS_OK) {
        require(why.len == 0 && u.scheme[0] && strstr(text, "://"));
        require(u.path[0] == '\0' || u.path[0] == '/');
        for (size_t i = 0; i < u.param_count; i++)
            require(url_param(&u, u.params[i].name) == u.params[i].value);
    } else {
        require(why.len > 0);
    }
    strbuf_release(&why);
    free(text);
    return 0;
}
