/* Content-Disposition: an accepted name is valid and comes back by its own header. */
#include "disposition.h"
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    char name[OBJECT_NAME_MAX + 1], again[OBJECT_NAME_MAX + 1];
    struct strbuf header = STRBUF_INIT, written = STRBUF_INIT;
    strbuf_add(&header, bytes, len);
    if (disposition_parse(strbuf_cstr(&header), name) == STATUS_OK) {
        disposition_write(name, &written);
        if ((*name && !object_name_valid(name, strlen(name))) ||
            disposition_parse(strbuf_cstr(&written), again) != STATUS_OK ||
            strcmp(name, again) != 0)
            abort();
    }
    strbuf_release(&header);
    strbuf_release(&written);
    return 0;
}
