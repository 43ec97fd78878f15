#include "apikey.h"
#include "config.h"
#include "demo.h"
#include "log.h"
#include "routes.h"
#include "service.h"
#include "store.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>

static const char *data, *root_key_file;
#define WHERE                                                                                      \
    {"VAULT_DATA", CONFIG_STRING, &data, NULL, "folder of blobs, index and keyring", 0, 0, NULL},  \
    {                                                                                              \
        "VAULT_ROOT_KEY_FILE", CONFIG_STRING, &root_key_file, NULL,                                \
            "file with the root key, 64 hex digits", 0, 0, NULL                                    \
    }

#define SUMMARY "encrypted file store over HTTP; commands: serve (the default), init, apikey"
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static int complain(const struct strbuf *why)
{
    fprintf(stderr, "dicom-vault: %s\n", strbuf_cstr(why));
    return 1;
}

/* --- serve ----------------------------------------------------------------------------------- */

static int serve(int argc, char **argv)
{
    static const char *listen, *proxies;
    static int64_t threads, connections, file_max;
    static const struct config_option options[] = {
        WHERE,
        {"VAULT_LISTEN", CONFIG_LISTEN, &listen, "127.0.0.1:8300", "address and port", 0, 0, NULL},
        {"VAULT_WORKERS", CONFIG_INT, &threads, "16", "threads that may block", 1,
         INDEX_CONNECTIONS_MAX, NULL},
        {"VAULT_CONNECTIONS", CONFIG_INT, &connections, "1000", "most connections", 1, 65536, NULL},
        {"VAULT_FILE_MAX", CONFIG_INT, &file_max, "17179869184", "longest file, bytes", 1,
         (INT64_C(1) << 52) - 1, NULL},
        {"TRUSTED_PROXIES", CONFIG_STRING, &proxies, "", "addresses or CIDR, by comma", 0, 0, NULL},
    };
    struct strbuf why = STRBUF_INIT;
    struct store *store;
    struct http *http;
    service_init("dicom-vault", SUMMARY, options, COUNT(options), argc, argv);
    if (store_open(data, root_key_file, (size_t)threads, true, &store, &why) != STATUS_OK)
        service_die("open the vault", &why);
    struct workers *workers = workers_new("vault", (size_t)threads, 16 * (size_t)threads);
    routes_init(store, workers);
    demo_init(data);
    struct http_options http_options = {
        .listen = listen,
        .authenticate = routes_authenticate,
        .workers = workers,
        .connections_max = (size_t)connections,
        .stream_max = (uint64_t)file_max,
        .trusted_proxies = proxies,
    };
    http_options.routes = routes_table(&http_options.route_count);
    if (http_start(&http_options, &http, &why) != STATUS_OK)
        service_die("listen", &why);
    service_started(listen);
    service_wait();
    http_stop(http, SERVICE_DRAIN_MS);
    workers_free(workers);
    store_close(store);
    strbuf_release(&why);
    return service_exit();
}

/* --- commands -------------------------------------------------------------------------------- */

/* Exits where there is nothing to run, as service_init does. */
static void configure(const char *summary, const struct config_option *options, size_t n, int argc,
                      char **argv)
{
    enum config_verdict verdict = config_load(summary, options, n, argc, argv);
    if (verdict != CONFIG_RUN)
        exit(verdict == CONFIG_EXIT_OK ? 0 : 2);
    umask(077);
}

static int init(int argc, char **argv)
{
    static const struct config_option options[] = {WHERE};
    struct strbuf why = STRBUF_INIT;
    configure("make a new vault", options, COUNT(options), argc, argv);
    int code = store_create(data, root_key_file, &why) == STATUS_OK ? 0 : complain(&why);
    strbuf_release(&why);
    return code;
}

static enum status make_key(struct store *store, const char *scope, struct strbuf *why)
{
    char key[APIKEY_TEXT + 1];
    roles scopes;
    enum status s = scopes_parse(scope, &scopes);
    if (s != STATUS_OK) {
        strbuf_addf(why, "--scope %s: not a list of read, write, admin", scope);
        return s;
    }
    s = apikey_create(store_index(store), store_keys(store), scopes, key);
    if (s == STATUS_OK)
        puts(key);
    else
        strbuf_addf(why, "the key could not be stored: %s", status_title(s));
    return s;
}

static enum status revoke_key(struct store *store, const char *id, struct strbuf *why)
{
    enum status s = apikey_revoke(store_index(store), id);
    if (s != STATUS_OK)
        strbuf_addf(why, "--revoke: %s", status_title(s));
    return s;
}

static int apikey(int argc, char **argv)
{
    static const char *scope, *revoke;
    static const struct config_option options[] = {
        WHERE,
        {"SCOPE", CONFIG_STRING, &scope, "", "make a key with these, by comma: read,write,admin", 0,
         0, NULL},
        {"REVOKE", CONFIG_STRING, &revoke, "", "id of a key that is to end", 0, 0, NULL},
    };
    struct strbuf why = STRBUF_INIT;
    struct store *store = NULL;
    enum status s = STATUS_UNPROCESSABLE;
    configure("make or revoke an API key", options, COUNT(options), argc, argv);
    if (!*scope == !*revoke)
        strbuf_addstr(&why, "apikey: give either --scope or --revoke");
    else
        s = store_open(data, root_key_file, 1, false, &store, &why);
    if (s == STATUS_OK)
        s = *scope ? make_key(store, scope, &why) : revoke_key(store, revoke, &why);
    int code = s == STATUS_OK ? 0 : complain(&why);
    store_close(store);
    strbuf_release(&why);
    return code;
}

static const struct {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *help;
} commands[] = {
    {"serve", serve, "answer requests until SIGTERM; the default"},
    {"init", init, "make a new vault in VAULT_DATA"},
    {"apikey", apikey, "make (--scope read,write) or revoke (--revoke ID) an API key"},
};

int main(int argc, char **argv)
{
    prctl(PR_SET_DUMPABLE, 0); /* no core file, no debugger of the same user: both would see keys */
    if (argc < 2 || argv[1][0] == '-')
        return serve(argc, argv);
    for (size_t i = 0; i < COUNT(commands); i++)
        if (strcmp(commands[i].name, argv[1]) == 0)
            return commands[i].run(argc - 1, argv + 1);
    fprintf(stderr, "dicom-vault: no command %s; there are\n", argv[1]);
    for (size_t i = 0; i < COUNT(commands); i++)
        fprintf(stderr, "  %-8s %s\n", commands[i].name, commands[i].help);
    return 2;
}
