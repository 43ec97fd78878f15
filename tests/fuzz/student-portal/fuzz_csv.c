/* A CSV file: fields lie inside what came, and a record that is written is read back the same, but
 * for the apostrophe that keeps a formula from running. */
#include "../fuzz.h"
#include "csv.h"
#include <string.h>

static bool is_formula(const char *text)
{
    return *text && strchr("=+-@\t\r", *text);
}

static void check_round_trip(const struct csv *csv)
{
    struct strbuf out = STRBUF_INIT;
    struct csv again;
    for (size_t i = 0; i < csv->n; i++)
        csv_put(&out, csv_field(csv, i));
    csv_end(&out);
    csv_init(&again, out.bytes, out.len);
    require(csv_next(&again) && !again.fault && again.n == csv->n);
    for (size_t i = 0; i < csv->n; i++) {
        const char *before = csv_field(csv, i), *after = csv_field(&again, i);
        require(!is_formula(after));
        require(strcmp(before, after + is_formula(before)) == 0);
    }
    require(!csv_next(&again));
    csv_release(&again);
    strbuf_release(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct strbuf copy = STRBUF_INIT;
    struct csv csv;
    size_t last = 0;
    strbuf_add(&copy, bytes, size);
    csv_init(&csv, strbuf_cstr(&copy), size);
    while (csv_next(&csv)) {
        require(csv.line > last && csv.n <= CSV_FIELDS_MAX && csv.text.len <= size + 1);
        last = csv.line;
        if (!csv.fault)
            check_round_trip(&csv);
    }
    csv_release(&csv);
    strbuf_release(&copy);
    return 0;
}
