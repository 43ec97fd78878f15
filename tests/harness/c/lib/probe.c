#include "probe.h"
#include "clock.h"
#include "secret.h"
#include <dirent.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static _Noreturn void give_up(const char *what)
{
    fprintf(stderr, "probe: %s\n", what);
    exit(3);
}

static json_t *read_line(void)
{
    char *line = NULL;
    size_t size = 0;
    ssize_t len = getline(&line, &size, stdin);
    json_t *command = len > 0 ? json_loadb(line, (size_t)len, JSON_ALLOW_NUL, NULL) : NULL;
    free(line);
    if (len > 0 && !command)
        give_up("no JSON");
    return command;
}

json_t *probe_read(void)
{
    json_t *command = read_line();
    if (!command)
        exit(0);
    return command;
}

void probe_answer(json_t *answer)
{
    char *text = json_dumps(answer, JSON_COMPACT | JSON_ENCODE_ANY);
    printf("%s\n", text);
    fflush(stdout);
    free(text);
    json_decref(answer);
}

void probe_serve(const struct probe_command *commands, size_t n, void *ctx)
{
    for (json_t *args; (args = read_line());) {
        const char *name = json_string_value(json_array_get(args, 0));
        size_t i = 0;
        while (i < n && strcmp(commands[i].name, name) != 0)
            i++;
        if (i == n)
            give_up("unknown command");
        probe_answer(commands[i].run(ctx, args));
        json_decref(args);
    }
}

json_t *probe_status(enum status st)
{
    return json_pack("{s:s}", "status", status_slug(st));
}

json_t *probe_bytes(const char *bytes, size_t len)
{
    json_t *text = bytes ? json_stringn(bytes, len) : json_null();
    if (text)
        return text;
    struct strbuf hex = STRBUF_INIT;
    hex_encode(&hex, bytes, len);
    text = json_pack("{s:s}", "hex", strbuf_cstr(&hex));
    strbuf_release(&hex);
    return text;
}

const char *probe_intern(const char *text)
{
    static const char *known[1024];
    static size_t count;
    for (size_t i = 0; i < count; i++)
        if (strcmp(known[i], text) == 0)
            return known[i];
    if (count == sizeof(known) / sizeof(known[0]))
        give_up("too many statements");
    return known[count++] = xstrdup(text);
}

static int is_visible(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

static struct embed_file read_file(const char *folder, const char *name)
{
    struct strbuf path = STRBUF_INIT, bytes = STRBUF_INIT;
    strbuf_addf(&path, "%s/%s", folder, name);
    FILE *f = fopen(path.bytes, "re");
    if (!f)
        give_up(path.bytes);
    char part[4096];
    for (size_t n; (n = fread(part, 1, sizeof(part), f)) > 0;)
        strbuf_add(&bytes, part, n);
    fclose(f);
    strbuf_release(&path);
    struct embed_file file = {.name = xstrdup(name)};
    file.bytes = (unsigned char *)strbuf_detach(&bytes, &file.len);
    return file;
}

const struct embed_folder *probe_folder(const char *path)
{
    static struct embed_folder folder;
    struct dirent **entries;
    int n = scandir(path, &entries, is_visible, alphasort);
    if (n < 0)
        give_up(path);
    static struct embed_file files[64];
    for (int i = 0; i < n && i < 64; i++) {
        files[i] = read_file(path, entries[i]->d_name);
        free(entries[i]);
    }
    free(entries);
    folder = (struct embed_folder){files, (size_t)n};
    return &folder;
}

const char *probe_option(int argc, char **argv, const char *name, const char *fallback)
{
    size_t len = strlen(name);
    for (int i = 2; i < argc; i++)
        if (strncmp(argv[i], name, len) == 0 && argv[i][len] == '=')
            return argv[i] + len + 1;
    return fallback;
}

unsigned probe_number(int argc, char **argv, const char *name)
{
    return (unsigned)strtoul(probe_option(argc, argv, name, "0"), NULL, 10);
}

struct hammer {
    enum status (*work)(void *ctx);
    void *ctx;
    _Atomic int64_t deadline;
    atomic_long counts[STATUS_COUNT];
};

static void *strike(void *arg)
{
    struct hammer *h = arg;
    while (clock_mono_ms() < h->deadline)
        h->counts[h->work(h->ctx)]++;
    return NULL;
}

json_t *probe_hammer(size_t threads, int64_t ms, enum status (*work)(void *ctx), void *ctx)
{
    int64_t deadline = ms ? clock_mono_ms() + ms : INT64_MAX;
    struct hammer h = {.work = work, .ctx = ctx, .deadline = deadline};
    pthread_t *ids = xcalloc(threads, sizeof(*ids));
    for (size_t i = 0; i < threads; i++)
        if (pthread_create(&ids[i], NULL, strike, &h) != 0)
            give_up("no thread");
    if (!ms) {
        json_decref(probe_read());
        h.deadline = 0;
    }
    for (size_t i = 0; i < threads; i++)
        pthread_join(ids[i], NULL);
    free(ids);
    json_t *counts = json_object();
    for (size_t i = 0; i < STATUS_COUNT; i++)
        if (h.counts[i])
            json_object_set_new(counts, status_slug((enum status)i), json_integer(h.counts[i]));
    return counts;
}
