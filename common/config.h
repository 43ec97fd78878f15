/* Configuration: environment variables, each also a --option; one table a service.
 *
 * LOG_LEVEL is also `--log-level VALUE` or `--log-level=VALUE`; the option wins. A secret
 * comes from NAME or from the file named by NAME_FILE (`--name-file`), one trailing newline
 * dropped; both at once is an error. `--help` prints the table; `--check-config` says "ok" or
 * what is wrong. Unknown options are errors. Called once, before threads start. */
#pragma once
#include "status.h"
#include <stddef.h>
#include <stdint.h>

enum config_type {
    CONFIG_STRING, /* into: const char * */
    CONFIG_SECRET, /* into: const char *; never printed */
    CONFIG_URL,    /* into: const char *; a secret too, of a scheme in `choices` ("a|b") */
    CONFIG_LISTEN, /* into: const char *; see listen.h */
    CONFIG_INT,    /* into: int64_t, min..max inclusive */
    CONFIG_BOOL,   /* into: bool; 1, 0, true, false, yes, no, on, off */
    CONFIG_CHOICE, /* into: int64_t, the index of the word in `choices` ("a|b|c") */
};

struct config_option {
    const char *env; /* the name, also of the option */
    enum config_type type;
    void *into;
    const char *fallback; /* the default as text; NULL: required; "" is an empty string */
    const char *help;     /* one line */
    int64_t min, max;     /* CONFIG_INT; min: also the fewest bytes of a secret or URL */
    const char *choices;  /* CONFIG_CHOICE, CONFIG_URL */
};

enum config_verdict { CONFIG_RUN, CONFIG_EXIT_OK, CONFIG_EXIT_BAD };

/* Read every option into its place. `summary` is the first line of --help. Strings live until
 * the process ends. CONFIG_EXIT_OK after --help or a good --check-config; CONFIG_EXIT_BAD (exit
 * with 2) after every problem was printed on stderr, a line each. */
enum config_verdict config_load(const char *summary, const struct config_option *options, size_t n,
                                int argc, char **argv);
