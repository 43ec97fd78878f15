/* No branch and no address of secret_equal depends on a secret (the way of ctgrind): the secret is
 * marked undefined, and Valgrind's memcheck reports each use of undefined bits for either.
 * usage: valgrind ctgrind secret_equal|leaky_branch|leaky_index; 0 when nothing was reported, 1
 * when something was, 3 without Valgrind. */
#include "leaky.h"
#include "secret.h"
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <valgrind/memcheck.h>

typedef bool compare(const void *a, const void *b, size_t len);
static const struct {
    const char *name;
    compare *run;
} subjects[] = {
    {"secret_equal", secret_equal},
    {"leaky_branch", leaky_branch},
    {"leaky_index", leaky_index},
};
enum { LEN_MAX = 257 };

/* Equal, and different at each byte alone; the answer itself is no secret. */
static size_t wrong_answers(compare *run, size_t len)
{
    uint8_t secret[LEN_MAX], given[LEN_MAX];
    size_t wrong = 0;
    for (size_t differ = 0; differ <= len; differ++) {
        for (size_t i = 0; i < len; i++)
            secret[i] = given[i] = (uint8_t)(31 * i + 7);
        if (differ < len)
            given[differ] ^= 0x10;
        VALGRIND_MAKE_MEM_UNDEFINED(secret, len);
        bool same = run(secret, given, len);
        VALGRIND_MAKE_MEM_DEFINED(&same, sizeof(same));
        wrong += same != (differ == len);
    }
    return wrong;
}

int main(int argc, char **argv)
{
    static const size_t lengths[] = {0, 1, 15, 16, 32, 64, LEN_MAX};
    size_t wrong = 0, n = sizeof(subjects) / sizeof(subjects[0]), i = 0;
    while (i < n && (argc != 2 || strcmp(argv[1], subjects[i].name) != 0))
        i++;
    if (i == n || !RUNNING_ON_VALGRIND) {
        fputs("usage: valgrind ctgrind secret_equal|leaky_branch|leaky_index\n", stderr);
        return 3;
    }
    for (size_t k = 0; k < sizeof(lengths) / sizeof(lengths[0]); k++)
        wrong += wrong_answers(subjects[i].run, lengths[k]);
    unsigned reports = (unsigned)VALGRIND_COUNT_ERRORS;
    printf("%s: %zu wrong answers, %u uses of a secret\n", argv[1], wrong, reports);
    if (wrong)
        return 2;
    return reports > 0;
}
