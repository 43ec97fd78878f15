/* API keys: "vk_<id>_<secret>", 16 and 64 hex digits. The index keeps id, scopes and a verifier:
 * HMAC-SHA-256 over the three under a key derived from the root key. So the disk neither tells a
 * secret, which is 256 random bits and needs no slow hash, nor can a row be made up or given
 * other scopes there. Read from the index at every request: a revoked key is refused at the next
 * one, whichever process revoked it. All calls block: worker threads only. */
#pragma once
#include "index.h"
#include "keyring.h"
#include "router.h"
#include "status.h"

enum { SCOPE_READ = 1, SCOPE_WRITE = 2, SCOPE_ADMIN = 4 };
enum { APIKEY_ID_HEX = 16, APIKEY_TEXT = 3 + APIKEY_ID_HEX + 1 + 64 };

/* "read", "read,write", ... each once; UNPROCESSABLE otherwise. */
enum status scopes_parse(const char *text, roles *out);

/* A new key; `text` is the only place where it ever stands whole. */
enum status apikey_create(struct index *ix, const struct keyring *keys, roles scopes,
                          char text[APIKEY_TEXT + 1]);
/* UNAUTHENTICATED for anything but a key made here and not revoked, after the same work whether
 * or not there is a key of that id. */
enum status apikey_check(struct index *ix, const struct keyring *keys, const char *text,
                         char id[APIKEY_ID_HEX + 1], roles *scopes);
/* By id, or by the whole key. NOT_FOUND. */
enum status apikey_revoke(struct index *ix, const char *id);
