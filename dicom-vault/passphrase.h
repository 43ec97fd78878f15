/* A root key out of a passphrase, by Argon2id (RFC 9106). What it was derived with stands in the
 * vault's file "passphrase": "VPASSPH1" || memory in KiB (4) || passes (4) || lanes (4) || salt
 * (16), integers big-endian. None of it is secret, and whoever changes it gets another root key,
 * which opens nothing. */
#pragma once
#include "seal.h"
#include "status.h"
#include "strbuf.h"

enum {
    PASSPHRASE_FILE = 8 + 3 * 4 + 16,
    PASSPHRASE_MIN = 12, /* bytes of the passphrase */
    PASSPHRASE_MAX = 1024,
};

/* For a new vault: a random salt, 64 MiB, 3 passes, 4 lanes (RFC 9106, section 4). */
void passphrase_parameters(uint8_t out[PASSPHRASE_FILE]);
/* The root key from the passphrase in the file at `path`, one newline at its end dropped.
 * UNPROCESSABLE with the reason in `why`, also for parameters that would take more than 1 GiB or
 * 64 passes. Takes some 0.1 s and the memory named. The caller wipes `root`. */
enum status passphrase_root(const char *path, const uint8_t *parameters, size_t len,
                            uint8_t root[KEY_SIZE], struct strbuf *why);
