/* Strict JSON over jansson: duplicate keys, trailing bytes, bad UTF-8, embedded NUL and nesting
 * past JSON_DEPTH_MAX are refused. The caller caps the size before. Build replies with
 * json_pack; take requests apart with json_take, whose format ends in `!` so that unknown
 * members are refused. Any thread; a json_t belongs to one thread at a time. */
#pragma once
#include "status.h"
#include "strbuf.h"
#include <jansson.h>
#include <stdarg.h>
#include <stdbool.h>

enum { JSON_DEPTH_MAX = 32 };

/* *out is the caller's to json_decref. BAD_REQUEST with the place and the reason in `why`, which
 * is valid UTF-8 whatever came. */
enum status json_parse(const void *bytes, size_t len, json_t **out, struct strbuf *why);
/* json_unpack_ex with the reason in `why`. UNPROCESSABLE when members are missing, unknown or
 * of another type. Strings point into `root`. Example: json_take(root, why, "{s:s, s?i !}",
 * "room", &room, "after", &after). */
enum status json_take(json_t *root, struct strbuf *why, const char *fmt, ...);
enum status json_vtake(json_t *root, struct strbuf *why, const char *fmt, va_list members);
/* Append the compact text of `root`. */
void json_write(struct strbuf *out, const json_t *root);
/* Append `s` as a JSON string, quotes included; what is not UTF-8 in it becomes U+FFFD. */
void json_write_text(struct strbuf *out, const char *s);
/* True when `s` is valid UTF-8 of min..max bytes without control characters (tab and newline
 * allowed when `multiline`). */
bool text_valid(const char *s, size_t len, size_t min, size_t max, bool multiline);
/* True when `s` is 1..max characters of [A-Za-z0-9._-] beginning with a letter or digit: the
 * pattern of every name and id that a client chooses. */
bool name_valid(const char *s, size_t max);
