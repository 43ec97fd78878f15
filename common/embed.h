/* Files of a service compiled into its binary: the folders schema/ and web/ of `<service>`
 * become `<service>_schema` and `<service>_web` (dashes become underscores), declared in
 * "<service>_embed.h", which the Makefile writes. Sorted by name; behind them in web/ the files of
 * common/web/, for the pages of all services. Static; any thread. */
#pragma once
#include <stddef.h>

struct embed_file {
    const char *name;           /* "001.sql", "index.html" */
    const unsigned char *bytes; /* NUL-terminated behind len */
    size_t len;
};

struct embed_folder {
    const struct embed_file *files;
    size_t n;
};

/* NULL when there is none of that name. */
const struct embed_file *embed_find(const struct embed_folder *folder, const char *name);
/* The media type by a name's ending; "application/octet-stream" for unknown ones. */
const char *embed_type(const char *name);
