/* People from a CSV file: the rules of its lines. Columns: account, name, role, courses (codes with
 * blanks between them, for students). Any thread. */
#pragma once
#include "csv.h"
#include "user.h"

enum { IMPORT_ERRORS_MAX = 100, IMPORT_LINES_MAX = 50000 };

struct import_line {
    size_t line; /* in the file, from 1 */
    const char *account, *name, *courses;
    roles role;
};

struct import {
    struct import_line *lines;
    size_t n, size;
    struct import_error {
        size_t line;
        char reason[160];
    } errors[IMPORT_ERRORS_MAX]; /* the first of them, in the order of lines */
    size_t error_count;          /* all of them */
    struct strbuf text;          /* what the lines point into */
};

/* Read the whole file; what is wrong is in `errors`. */
void import_parse(struct import *im, const char *bytes, size_t len);
void import_release(struct import *im);
void import_fail(struct import *im, size_t line, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* The next of the codes at *courses into code[size]; false at the end. A code that is too long
 * comes cut, and so is no course's. */
bool import_next_course(const char **courses, char *code, size_t size);
