/* A folder of the test's own, and a root key file beside the vault in it. */
#pragma once
#include "../unit.h"
#include "strbuf.h"
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

static char temp[] = "/tmp/vault-test-XXXXXX";

static inline const char *in_temp(const char *name)
{
    static char path[8][256];
    static unsigned next;
    char *out = path[next++ % COUNT(path)];
    snprintf(out, sizeof(path[0]), "%s/%s", temp, name);
    return out;
}

static inline void write_file(const char *path, const void *bytes, size_t len)
{
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, len, f), len);
    assert_int_equal(fclose(f), 0);
}

static inline bool exists(const char *path)
{
    return access(path, F_OK) == 0;
}

static inline int temp_make(void **state)
{
    (void)state;
    strcpy(temp + strlen(temp) - 6, "XXXXXX");
    return mkdtemp(temp) ? 0 : -1;
}

static inline int temp_remove_one(const char *path, const struct stat *st, int type,
                                  struct FTW *where)
{
    (void)st;
    (void)type;
    (void)where;
    return remove(path);
}

static inline int temp_remove(void **state)
{
    (void)state;
    return nftw(temp, temp_remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

#define temp_test(f) cmocka_unit_test_setup_teardown(f, temp_make, temp_remove)
