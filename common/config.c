#include "config.h"
#include "listen.h"
#include "secret.h"
#include "strbuf.h"
#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SECRET_FILE_MAX = 64 * 1024 };

struct setting {
    const struct config_option *option;
    const char *value, *file; /* NULL when not given */
};

struct load {
    struct setting *settings;
    size_t n;
    bool help, check, bad;
};

__attribute__((format(printf, 2, 3))) static void complain(struct load *load, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fputc('\n', stderr);
    load->bad = true;
}

static void add_flag(struct strbuf *out, const char *env)
{
    strbuf_addstr(out, "--");
    for (; *env; env++)
        strbuf_addch(out, *env == '_' ? '-' : (char)tolower((unsigned char)*env));
}

/* May it be read from a file? */
static bool has_file(const struct config_option *o)
{
    return o->type == CONFIG_SECRET || o->type == CONFIG_URL;
}

/* --- where values come from ------------------------------------------------------------------ */

static const char *env_file(const char *env)
{
    struct strbuf name = STRBUF_INIT;
    strbuf_addf(&name, "%s_FILE", env);
    const char *value = getenv(name.bytes);
    strbuf_release(&name);
    return value;
}

static void read_environment(struct load *load)
{
    for (size_t i = 0; i < load->n; i++) {
        struct setting *s = &load->settings[i];
        s->value = getenv(s->option->env);
        s->file = has_file(s->option) ? env_file(s->option->env) : NULL;
    }
}

/* The place of the value that `arg`, of `len` bytes up to an equals sign, sets; or NULL. */
static const char **find_place(struct load *load, const char *arg, size_t len)
{
    const char **place = NULL;
    for (size_t i = 0; i < load->n && !place; i++) {
        struct setting *s = &load->settings[i];
        struct strbuf flag = STRBUF_INIT;
        add_flag(&flag, s->option->env);
        if (flag.len == len && memcmp(flag.bytes, arg, len) == 0)
            place = &s->value;
        strbuf_addstr(&flag, "-file");
        if (has_file(s->option) && flag.len == len && memcmp(flag.bytes, arg, len) == 0)
            place = &s->file;
        strbuf_release(&flag);
    }
    return place;
}

static void read_arguments(struct load *load, int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        size_t len = strcspn(argv[i], "=");
        const char **place = find_place(load, argv[i], len);
        if (strcmp(argv[i], "--help") == 0)
            load->help = true;
        else if (strcmp(argv[i], "--check-config") == 0)
            load->check = true;
        else if (strncmp(argv[i], "--", 2) != 0) /* not shown: it may be a secret gone astray */
            complain(load, "argument %d: not an option", i);
        else if (!place)
            complain(load, "%.*s: unknown option", (int)len, argv[i]);
        else if (argv[i][len] == '=')
            *place = argv[i] + len + 1;
        else if (i + 1 < argc)
            *place = argv[++i];
        else
            complain(load, "%s: value missing", argv[i]);
    }
}

/* --- from text to value ---------------------------------------------------------------------- */

static bool parse_int(const char *text, int64_t *out)
{
    if (!isdigit((unsigned char)text[*text == '-']))
        return false;
    char *end;
    errno = 0;
    *out = strtoll(text, &end, 10);
    return *end == '\0' && errno == 0;
}

/* The index of `word` in "a|b|c", or -1. */
static int64_t find_word(const char *words, const char *word)
{
    size_t len = strlen(word);
    for (int64_t i = 0;; i++) {
        size_t n = strcspn(words, "|");
        if (n == len && memcmp(words, word, n) == 0)
            return i;
        if (words[n] == '\0')
            return -1;
        words += n + 1;
    }
}

static void set_int(struct load *load, const struct config_option *o, const char *text)
{
    int64_t n;
    if (parse_int(text, &n) && n >= o->min && n <= o->max)
        *(int64_t *)o->into = n;
    else
        complain(load, "%s: not a whole number from %lld to %lld: %s", o->env, (long long)o->min,
                 (long long)o->max, text);
}

static void set_bool(struct load *load, const struct config_option *o, const char *text)
{
    int64_t word = find_word("0|1|false|true|no|yes|off|on", text);
    if (word >= 0)
        *(bool *)o->into = word % 2;
    else
        complain(load, "%s: neither true nor false: %s", o->env, text);
}

static void set_choice(struct load *load, const struct config_option *o, const char *text)
{
    int64_t word = find_word(o->choices, text);
    if (word >= 0)
        *(int64_t *)o->into = word;
    else
        complain(load, "%s: none of %s: %s", o->env, o->choices, text);
}

static void set_text(struct load *load, const struct config_option *o, const char *text)
{
    if (o->type == CONFIG_SECRET && text != o->fallback && strlen(text) < (size_t)o->min)
        complain(load, "%s: shorter than %lld bytes", o->env, (long long)o->min);
    *(const char **)o->into = text;
}

/* The value is not shown: it may hold a password. */
static void set_url(struct load *load, const struct config_option *o, const char *text)
{
    struct strbuf scheme = STRBUF_INIT;
    const char *rest = strstr(text, "://");
    strbuf_add(&scheme, text, rest ? (size_t)(rest - text) : 0);
    if ((o->min > 0 || *text) &&
        (!rest || !rest[3] || find_word(o->choices, strbuf_cstr(&scheme)) < 0))
        complain(load, "%s: not a URL that begins with %s, and ://", o->env, o->choices);
    strbuf_release(&scheme);
    *(const char **)o->into = text;
}

static void set_listen(struct load *load, const struct config_option *o, const char *text)
{
    struct sockaddr_storage address;
    socklen_t len;
    if (!listen_parse(text, &address, &len))
        complain(load, "%s: not like 127.0.0.1:8200 or [::1]:8200: %s", o->env, text);
    *(const char **)o->into = text;
}

static void set(struct load *load, const struct config_option *o, const char *text)
{
    static void (*const setters[])(struct load *, const struct config_option *, const char *) = {
        [CONFIG_STRING] = set_text,   [CONFIG_SECRET] = set_text,   [CONFIG_INT] = set_int,
        [CONFIG_BOOL] = set_bool,     [CONFIG_CHOICE] = set_choice, [CONFIG_URL] = set_url,
        [CONFIG_LISTEN] = set_listen,
    };
    setters[o->type](load, o, text);
}

/* The text of a secret's file, one trailing newline dropped; NULL after a complaint. */
static const char *read_secret(struct load *load, const char *env, const char *path)
{
    FILE *f = fopen(path, "re");
    char *text = xmalloc(SECRET_FILE_MAX + 2);
    size_t len = f ? fread(text, 1, SECRET_FILE_MAX + 1, f) : 0;
    bool failed = !f || ferror(f);
    if (failed)
        complain(load, "%s_FILE: %s: %s", env, path, strerror(errno));
    if (f)
        fclose(f);
    if (len > 0 && text[len - 1] == '\n')
        len--;
    text[len] = '\0';
    if (!failed && len <= SECRET_FILE_MAX && strlen(text) == len)
        return text;
    if (!failed)
        complain(load, "%s_FILE: %s: over %d bytes, or with a NUL", env, path, SECRET_FILE_MAX);
    secret_wipe(text, len);
    free(text);
    return NULL;
}

static void resolve(struct load *load, const struct setting *s)
{
    const struct config_option *o = s->option;
    const char *text = s->value ? s->value : o->fallback;
    if (s->value && s->file) {
        complain(load, "%s: given both directly and by %s_FILE", o->env, o->env);
        return;
    }
    if (s->file)
        text = read_secret(load, o->env, s->file);
    else if (!text && has_file(o))
        complain(load, "%s: required (or %s_FILE)", o->env, o->env);
    else if (!text)
        complain(load, "%s: required", o->env);
    if (text)
        set(load, o, text);
}

/* --- what a person sees ---------------------------------------------------------------------- */

static void print_option(const struct config_option *o)
{
    struct strbuf line = STRBUF_INIT;
    strbuf_addf(&line, "%s, ", o->env);
    add_flag(&line, o->env);
    if (has_file(o))
        strbuf_addstr(&line, " (or the name of a file: with _FILE, -file)");
    strbuf_addf(&line, "\n    %s", o->help);
    if (o->type == CONFIG_CHOICE)
        strbuf_addf(&line, "; %s", o->choices);
    if (o->type == CONFIG_INT)
        strbuf_addf(&line, "; %lld to %lld", (long long)o->min, (long long)o->max);
    if (!o->fallback)
        strbuf_addstr(&line, "; required");
    else if (*o->fallback && o->type != CONFIG_SECRET)
        strbuf_addf(&line, "; default %s", o->fallback);
    puts(line.bytes);
    strbuf_release(&line);
}

static void print_help(const char *summary, const struct config_option *options, size_t n)
{
    printf("%s\n\nEach is an environment variable and an option; the option wins.\n\n", summary);
    for (size_t i = 0; i < n; i++)
        print_option(&options[i]);
    puts("--check-config\n    say \"ok\" or what is wrong, and end\n--help");
}

enum config_verdict config_load(const char *summary, const struct config_option *options, size_t n,
                                int argc, char **argv)
{
    struct load load = {.settings = xcalloc(n, sizeof(struct setting)), .n = n};
    for (size_t i = 0; i < n; i++)
        load.settings[i].option = &options[i];
    read_environment(&load);
    read_arguments(&load, argc, argv);
    for (size_t i = 0; i < n && !load.help; i++)
        resolve(&load, &load.settings[i]);
    free(load.settings);
    if (load.help)
        print_help(summary, options, n);
    else if (load.check && !load.bad)
        puts("ok");
    if (load.help)
        return CONFIG_EXIT_OK;
    if (load.bad)
        return CONFIG_EXIT_BAD;
    return load.check ? CONFIG_EXIT_OK : CONFIG_RUN;
}
