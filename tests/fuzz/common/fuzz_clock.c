/* A time that is accepted, formatted and read again is the same moment. */
#include "../fuzz.h"
#include "clock.h"
#include <string.h>

/* An offset can move the first and the last day out of the years that can be formatted. */
static bool at_the_edge(const char *text)
{
    return strncmp(text, "0000-01-01", 10) == 0 || strncmp(text, "9999-12-31", 10) == 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    char *text = strndup((const char *)bytes, len), again[RFC3339_SIZE];
    int64_t ms, back;
    if (rfc3339_parse(text, &ms) == STATUS_OK) {
        rfc3339_format(ms, again);
        require(rfc3339_parse(again, &back) == STATUS_OK);
        require(back == ms || at_the_edge(again));
    }
    free(text);
    return 0;
}
