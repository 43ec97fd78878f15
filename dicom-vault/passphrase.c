#include "passphrase.h"
#include "folder.h"
#include "object.h"
#include "secret.h"
#include <argon2.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

static const char magic[8] = "VPASSPH1";
enum { MEMORY_KIB = 64 * 1024, PASSES = 3, LANES = 4, SALT = 16 };
enum { MEMORY_MAX_KIB = 1024 * 1024, PASSES_MAX = 64, LANES_MAX = 16 };

void passphrase_parameters(uint8_t out[PASSPHRASE_FILE])
{
    memcpy(out, magic, sizeof(magic));
    put_be(out + 8, MEMORY_KIB, 4);
    put_be(out + 12, PASSES, 4);
    put_be(out + 16, LANES, 4);
    secret_random(out + 20, SALT);
}

/* The text's length, 0 with the reason in `why`. */
static size_t read_passphrase(const char *path, char text[PASSPHRASE_MAX + 2], struct strbuf *why)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read_to_end(fd, text, PASSPHRASE_MAX + 2);
    if (n < 0)
        strbuf_addf(why, "passphrase file %s: %s", path, strerror(errno));
    if (fd >= 0)
        close(fd);
    if (n < 0)
        return 0;
    size_t len = (size_t)n - (n > 0 && text[n - 1] == '\n');
    if (len >= PASSPHRASE_MIN && len <= PASSPHRASE_MAX)
        return len;
    strbuf_addf(why, "passphrase file %s: want %d to %d bytes", path, PASSPHRASE_MIN,
                PASSPHRASE_MAX);
    return 0;
}

enum status passphrase_root(const char *path, const uint8_t *parameters, size_t len,
                            uint8_t root[KEY_SIZE], struct strbuf *why)
{
    char text[PASSPHRASE_MAX + 2];
    if (len != PASSPHRASE_FILE || memcmp(parameters, magic, sizeof(magic)) != 0) {
        strbuf_addstr(why, "the vault's file `passphrase` is damaged");
        return STATUS_UNPROCESSABLE;
    }
    uint32_t memory = (uint32_t)get_be(parameters + 8, 4);
    uint32_t passes = (uint32_t)get_be(parameters + 12, 4);
    uint32_t lanes = (uint32_t)get_be(parameters + 16, 4);
    if (memory > MEMORY_MAX_KIB || passes > PASSES_MAX || lanes > LANES_MAX) {
        strbuf_addstr(why, "the vault's file `passphrase` asks for too much");
        return STATUS_UNPROCESSABLE;
    }
    size_t text_len = read_passphrase(path, text, why);
    int failed = text_len ? argon2id_hash_raw(passes, memory, lanes, text, text_len,
                                              parameters + 20, SALT, root, KEY_SIZE)
                          : ARGON2_OK;
    secret_wipe(text, sizeof(text));
    if (failed)
        strbuf_addf(why, "passphrase: %s", argon2_error_message(failed));
    return text_len && !failed ? STATUS_OK : STATUS_UNPROCESSABLE;
}
