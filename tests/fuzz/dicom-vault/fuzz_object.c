/* The plaintext of an index row: what is read is what would be written. */
#include "object.h"
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    uint8_t row[OBJECT_ROW_MAX];
    struct object o;
    if (object_row_read(bytes, len, &o) != STATUS_OK)
        return 0;
    if (object_row_write(&o, row) != len || memcmp(row, bytes, len) != 0)
        abort();
    return 0;
}
