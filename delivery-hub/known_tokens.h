/* Tokens whose signature was found good, so that it is not computed anew for each request of the
 * same person: with it goes most of what a read from memory costs. Bounded; a token that falls out
 * is verified again. Any thread. */
#pragma once
#include "token.h"
#include <stdbool.h>
#include <stddef.h>

/* The claims of a token that was added. Whether it has expired since is the caller's to see. */
bool known_tokens_find(const char *token, size_t len, struct token_claims *out);
/* After token_verify said OK. */
void known_tokens_add(const char *token, size_t len, const struct token_claims *claims);
