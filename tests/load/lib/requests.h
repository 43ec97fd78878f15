/* Raw HTTP requests, one behind the other in a file; Content-Length says where a body ends. In
 * each, "%SERIAL%" stands for eight digits that no other request of the run has. */
#pragma once
#include "strbuf.h"
#include <stdbool.h>
#include <stddef.h>

struct raw_request {
    const char *bytes;
    size_t len;
    bool head, has_serial;
};

struct requests {
    struct strbuf text;
    struct raw_request *all;
    size_t count, size;
};

/* Take the text over and part it. False, with the offset in *where, when it cannot be parted or
 * is empty. */
bool requests_parse(struct requests *rs, struct strbuf *text, size_t *where);
void requests_release(struct requests *rs);
/* The request as it is to be sent, `serial` filled in, in `out`. */
void requests_write(const struct raw_request *r, unsigned serial, struct strbuf *out);
