/* Comma-separated values (RFC 4180), strict: UTF-8, fields bare or in double quotes, records ended
 * by LF or CRLF, a byte order mark before the first. Any thread.
 *
 *     csv_init(&csv, bytes, len);
 *     while (csv_next(&csv))
 *         if (csv.fault) ...  else use(csv.line, csv_field(&csv, 0));
 *     csv_release(&csv);
 */
#pragma once
#include "strbuf.h"
#include <stdbool.h>
#include <stddef.h>

enum { CSV_FIELDS_MAX = 16 };

struct csv {
    size_t line;       /* where the record begins, counted from 1 */
    size_t n;          /* fields */
    const char *fault; /* what is wrong with the record, static; or NULL */
    const char *at, *end;
    size_t next_line;
    struct strbuf text;
    size_t start[CSV_FIELDS_MAX]; /* of each field in `text` */
};

/* `bytes` stay the caller's and have to live as long. */
void csv_init(struct csv *csv, const char *bytes, size_t len);
void csv_release(struct csv *csv);
/* The next record, or the next fault: then it goes on at the next line. Empty lines are passed
 * over. False at the end. */
bool csv_next(struct csv *csv);
/* NUL-terminated, without NUL inside, valid until csv_next. NULL when there are fewer. */
const char *csv_field(const struct csv *csv, size_t i);

/* Append a field in quotes, and a comma before it when `out` does not end a line. A text that a
 * spreadsheet would take for a formula (it begins with = + - @, also of full width, a tab, CR or
 * LF) gets an apostrophe in front (OWASP, CSV injection). */
void csv_put(struct strbuf *out, const char *text);
void csv_put_number(struct strbuf *out, long long number);
void csv_end(struct strbuf *out); /* the record: CRLF */
