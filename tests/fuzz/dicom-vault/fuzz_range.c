/* Range: size (8 bytes), then the header. What is chosen lies inside. */
#include "object.h"
#include "range.h"
#include "strbuf.h"
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    uint64_t first, count;
    bool partial;
    struct strbuf header = STRBUF_INIT;
    if (len < 8)
        return 0;
    uint64_t size = get_be(bytes, 8);
    strbuf_add(&header, bytes + 8, len - 8);
    enum status s = range_parse(strbuf_cstr(&header), size, &first, &count, &partial);
    if (s == STATUS_OK && (first > size || count > size - first || (partial && count == 0)))
        abort();
    if (s == STATUS_OK && !partial && (first != 0 || count != size))
        abort();
    strbuf_release(&header);
    return 0;
}
