/* The first line is the cookie's name, the rest the header. Whatever they are: no value past the
 * buffer, and one that is found stands in the header as name=value. */
#include "../fuzz.h"
#include "cookie.h"
#include "strbuf.h"
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct strbuf text = STRBUF_INIT, pair = STRBUF_INIT;
    char out[44];
    bool found;
    strbuf_add(&text, bytes, size);
    char *end = strchr(text.bytes, '\n');
    if (end) {
        *end = '\0';
        enum status st = cookie_get(end + 1, text.bytes, out, sizeof(out), &found);
        if (!st && found) {
            strbuf_addf(&pair, "%s=%s", text.bytes, out);
            require(strstr(end + 1, pair.bytes));
        }
    }
    strbuf_release(&pair);
    strbuf_release(&text);
    return 0;
}
