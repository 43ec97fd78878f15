/* Content-Type and Accept as anybody may write them: every list ends, and what is kept is bounded.
 */
#include "../fuzz.h"
#include "dicomweb_media.h"
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    char *field = malloc(len + 1);
    require(field != NULL);
    memcpy(field, bytes, len);
    field[len] = '\0';
    struct media m;
    size_t rounds = 0;
    for (const char *at = field; *at && media_next(&at, &m) == STATUS_OK;) {
        require(++rounds <= len && at > field && at <= field + strlen(field));
        require(strlen(m.name) <= MEDIA_NAME_MAX && strlen(m.boundary) <= BOUNDARY_MAX);
    }
    media_parse(field, &m);
    static const struct offer offers[] = {{"multipart/related", "application/dicom", "1.2"},
                                          {"image/jpeg", NULL, NULL}};
    require(media_choose(field, offers, 2, &rounds) == STATUS_BAD_REQUEST || rounds < 2);
    free(field);
    return 0;
}
