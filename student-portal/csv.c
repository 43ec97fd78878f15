#include "csv.h"
#include "utf8.h"
#include <string.h>

void csv_init(struct csv *csv, const char *bytes, size_t len)
{
    *csv = (struct csv){.at = bytes, .end = bytes + len, .next_line = 1, .text = STRBUF_INIT};
    if (len >= 3 && memcmp(bytes, "\xEF\xBB\xBF", 3) == 0)
        csv->at += 3;
}

void csv_release(struct csv *csv)
{
    strbuf_release(&csv->text);
}

const char *csv_field(const struct csv *csv, size_t i)
{
    return i < csv->n ? csv->text.bytes + csv->start[i] : NULL;
}

/* CR only counts before LF. */
static bool at_line_end(const struct csv *csv)
{
    if (csv->at == csv->end || *csv->at == '\n')
        return true;
    return *csv->at == '\r' && csv->at + 1 < csv->end && csv->at[1] == '\n';
}

static void skip_line_end(struct csv *csv)
{
    if (csv->at < csv->end && *csv->at == '\r')
        csv->at++;
    if (csv->at < csv->end)
        csv->at++;
    csv->next_line++;
}

/* Take one character over, or say why not. */
static bool take_character(struct csv *csv)
{
    uint32_t code;
    size_t n = utf8_next(csv->at, (size_t)(csv->end - csv->at), &code);
    if (!n)
        csv->fault = "not UTF-8";
    else if (code == 0)
        csv->fault = "a NUL";
    if (csv->fault)
        return false;
    if (code == '\n')
        csv->next_line++;
    strbuf_add(&csv->text, csv->at, n);
    csv->at += n;
    return true;
}

static void read_quoted(struct csv *csv)
{
    for (csv->at++; csv->at < csv->end;) {
        bool quote = *csv->at == '"';
        if (quote && (csv->at + 1 == csv->end || csv->at[1] != '"')) {
            csv->at++;
            if (!at_line_end(csv) && *csv->at != ',')
                csv->fault = "text behind the closing quote";
            return;
        }
        csv->at += quote;
        if (!take_character(csv))
            return;
    }
    csv->fault = "a quote is not closed";
}

static void read_bare(struct csv *csv)
{
    while (!at_line_end(csv) && *csv->at != ',') {
        if (*csv->at == '"')
            csv->fault = "a quote inside a field without quotes";
        if (csv->fault || !take_character(csv))
            return;
    }
}

static void read_field(struct csv *csv)
{
    if (csv->n == CSV_FIELDS_MAX) {
        csv->fault = "too many fields";
        return;
    }
    csv->start[csv->n++] = csv->text.len;
    if (csv->at < csv->end && *csv->at == '"')
        read_quoted(csv);
    else
        read_bare(csv);
    strbuf_addch(&csv->text, '\0');
}

static void skip_line(struct csv *csv)
{
    const char *line_end = memchr(csv->at, '\n', (size_t)(csv->end - csv->at));
    csv->at = line_end ? line_end : csv->end;
    csv->n = 0;
}

bool csv_next(struct csv *csv)
{
    strbuf_reset(&csv->text);
    csv->n = 0;
    csv->fault = NULL;
    while (csv->at < csv->end && at_line_end(csv))
        skip_line_end(csv);
    if (csv->at == csv->end)
        return false;
    csv->line = csv->next_line;
    read_field(csv);
    while (!csv->fault && csv->at < csv->end && *csv->at == ',') {
        csv->at++;
        read_field(csv);
    }
    if (csv->fault)
        skip_line(csv);
    skip_line_end(csv);
    return true;
}

/* --- writing ---------------------------------------------------------------------------------- */

static void separate(struct strbuf *out)
{
    if (out->len && out->bytes[out->len - 1] != '\n')
        strbuf_addch(out, ',');
}

/* Spreadsheets take the signs of full width (U+FF1D and so on) for the same. */
static bool is_formula(const char *text)
{
    if (strncmp(text, "\xEF\xBC", 2) == 0)
        return text[2] && strchr("\x9D\x8B\x8D\xA0", text[2]);
    return *text && strchr("=+-@\t\r\n", *text);
}

void csv_put(struct strbuf *out, const char *text)
{
    separate(out);
    strbuf_addch(out, '"');
    if (is_formula(text))
        strbuf_addch(out, '\'');
    for (; *text; text++) {
        if (*text == '"')
            strbuf_addch(out, '"');
        strbuf_addch(out, *text);
    }
    strbuf_addch(out, '"');
}

void csv_put_number(struct strbuf *out, long long number)
{
    separate(out);
    strbuf_addf(out, "%lld", number);
}

void csv_end(struct strbuf *out)
{
    strbuf_addstr(out, "\r\n");
}
