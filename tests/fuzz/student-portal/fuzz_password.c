/* A stored hash: what is accepted is within the bounds that protect memory and time. */
#include "../fuzz.h"
#include "password.h"
#include "strbuf.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct strbuf text = STRBUF_INIT;
    struct password_parts p;
    strbuf_add(&text, bytes, size);
    if (password_parse(text.bytes, &p) == STATUS_OK) {
        require(p.m_kib >= 8 * p.p && p.m_kib <= 65536);
        require(p.t >= 1 && p.t <= 8 && p.p >= 1 && p.p <= 4);
        require(p.salt_len >= 8 && p.salt_len <= sizeof(p.salt));
        require(p.tag_len >= 16 && p.tag_len <= sizeof(p.tag));
    }
    strbuf_release(&text);
    return 0;
}
