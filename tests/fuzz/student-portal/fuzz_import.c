/* A file of people: what is accepted can be stored as it stands, and no account comes twice. */
#include "../fuzz.h"
#include "import.h"
#include "json.h"
#include <string.h>

static void check_line(const struct import_line *line)
{
    char code[8];
    require(name_valid(line->account, ACCOUNT_MAX));
    require(text_valid(line->name, strlen(line->name), 1, 200, false));
    require(role_name(line->role));
    for (const char *rest = line->courses; import_next_course(&rest, code, sizeof(code));)
        require(line->role == STUDENT && *code && !strchr(code, ' '));
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct import *im = xmalloc(sizeof(*im));
    struct strbuf copy = STRBUF_INIT;
    strbuf_add(&copy, bytes, size);
    import_parse(im, strbuf_cstr(&copy), size);
    for (size_t i = 0; i < im->n; i++) {
        check_line(&im->lines[i]);
        for (size_t j = 0; j < i && i < 100 && !im->error_count; j++)
            require(strcmp(im->lines[i].account, im->lines[j].account) != 0);
    }
    for (size_t i = 1; i < im->error_count && i < IMPORT_ERRORS_MAX; i++)
        require(im->errors[i].line >= im->errors[i - 1].line && im->errors[i].reason[0]);
    import_release(im);
    free(im);
    strbuf_release(&copy);
    return 0;
}
