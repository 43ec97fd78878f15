/* The demo login: tokens for made-up accounts without a password. Any thread. */
#pragma once
#include "status.h"
#include "strbuf.h"

/* Append {"token","sub","role","expires"} for the body {"account":"ada"}. BAD_REQUEST or
 * UNPROCESSABLE for another body, NOT_FOUND for another account, with the reason in `why`. */
enum status login_demo(const char *token_key, const void *body, size_t len, struct strbuf *out,
                       struct strbuf *why);
