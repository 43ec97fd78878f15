/* QIDO's query: whatever is accepted is bounded, and of values that can be looked up. */
#include "../fuzz.h"
#include "dicom_text.h"
#include "dicomweb_query.h"
#include <string.h>

static void check_values(const struct qido *q, size_t field)
{
    const struct strbuf *values = &q->values[field];
    size_t n = 0;
    for (size_t at = 0; at < values->len; at += strlen(values->bytes + at) + 1, n++) {
        const char *value = values->bytes + at;
        bool uid = field == FIELD_STUDY || field == FIELD_SERIES || field == FIELD_INSTANCE;
        require(!uid || dicom_uid_valid(value));
        require(uid || !strpbrk(value, "*?\\"));
        require(field != FIELD_STUDY_DATE ||
                (strlen(value) == 8 && strspn(value, "0123456789") == 8));
        require(*value);
    }
    require(n <= (field == FIELD_STUDY_DATE ? QIDO_DAYS_MAX : QIDO_VALUES_MAX));
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    struct strbuf query = STRBUF_INIT, why = STRBUF_INIT;
    struct qido q;
    strbuf_add(&query, bytes + (len > 0), len - (len > 0));
    enum status s = qido_parse(strbuf_cstr(&query), len > 0 ? bytes[0] % 3 : 0, &q, &why);
    require(s == STATUS_OK || (s == STATUS_BAD_REQUEST && why.len > 0));
    for (size_t f = 0; s == STATUS_OK && f < FIELDS; f++)
        check_values(&q, f);
    require(s != STATUS_OK || (q.limit >= 1 && q.limit <= QIDO_LIMIT_MAX && q.offset >= 0));
    qido_release(&q);
    strbuf_release(&query);
    strbuf_release(&why);
    return 0;
}
