/* File names in Content-Disposition headers (RFC 6266, RFC 8187). Any thread. */
#pragma once
#include "object.h"
#include "status.h"
#include "strbuf.h"

/* The name out of a request's header: filename* (UTF-8 only) before filename, "" when there is
 * neither or `header` is NULL. BAD_REQUEST for a malformed header, a parameter given twice, or a
 * name that object_name_valid refuses: never a name other than the one sent. */
enum status disposition_parse(const char *header, char name[OBJECT_NAME_MAX + 1]);
/* Append "attachment" and the name, as filename or, where that cannot say it, as filename*. */
void disposition_write(const char *name, struct strbuf *out);
