/* Whatever a caller says a body's digest is. What is taken is written again as it was. */
#include "../fuzz.h"
#include "digest.h"
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    char *header = malloc(len + 1), again[DIGEST_FIELD];
    uint8_t sha256[32];
    bool found;
    if (!header)
        abort();
    memcpy(header, bytes, len);
    header[len] = '\0';
    if (digest_parse(header, &found, sha256) == STATUS_OK) {
        digest_format(sha256, again);
        if (!found || !strstr(header, again))
            abort();
    }
    free(header);
    return 0;
}
