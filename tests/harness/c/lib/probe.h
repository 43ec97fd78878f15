/* A test program that is driven over pipes: each line on stdin is a JSON array, a command and its
 * arguments; each answer is one line of JSON on stdout. */
#pragma once
#include "embed.h"
#include "status.h"
#include <jansson.h>
#include <stdint.h>

struct probe_command {
    const char *name;
    json_t *(*run)(void *ctx, json_t *args); /* args[0] is the name; the answer is given away */
};

/* Serve commands until the end of stdin. */
void probe_serve(const struct probe_command *commands, size_t n, void *ctx);
/* The next line, for a command that waits in the midst of its work; never NULL. */
json_t *probe_read(void);
void probe_answer(json_t *answer);

/* {"status": slug} */
json_t *probe_status(enum status st);
/* Text, or {"hex": ...} where it is no UTF-8, or null. */
json_t *probe_bytes(const char *bytes, size_t len);
/* The same text always at the same address, for ever. */
const char *probe_intern(const char *text);
/* The files of a folder. */
const struct embed_folder *probe_folder(const char *path);
/* "name=value" among the arguments of main, or the fallback. */
const char *probe_option(int argc, char **argv, const char *name, const char *fallback);
unsigned probe_number(int argc, char **argv, const char *name);

/* Call work(ctx) in `threads` threads again and again for `ms`, or (0) until a line is sent; how
 * often each status came. */
json_t *probe_hammer(size_t threads, int64_t ms, enum status (*work)(void *ctx), void *ctx);
