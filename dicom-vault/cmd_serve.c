#include "cmd.h"
#include "demo.h"
#include "dicomweb.h"
#include "log.h"
#include "minute.h"
#include "refusals.h"
#include "routes.h"
#include "service.h"

#define SUMMARY                                                                                    \
    "encrypted file and DICOM store over HTTP; commands: serve (the default), init, apikey, "      \
    "audit, verify, "                                                                              \
    "backup, rotate, rewrap, retire, shred"

int cmd_serve(int argc, char **argv)
{
    static const char *listen, *proxies, *origins;
    static int64_t threads, connections, file_max, quota, reserve, period_s;
    static const struct config_option options[] = {
        CMD_WHERE,
        {"VAULT_LISTEN", CONFIG_LISTEN, &listen, "127.0.0.1:8300", "address and port", 0, 0, NULL},
        {"VAULT_WORKERS", CONFIG_INT, &threads, "16", "threads that may block", 1,
         INDEX_CONNECTIONS_MAX - 1, NULL},
        {"VAULT_CONNECTIONS", CONFIG_INT, &connections, "1000", "most connections", 1, 65536, NULL},
        {"VAULT_FILE_MAX", CONFIG_INT, &file_max, "17179869184", "longest file, bytes", 1,
         (INT64_C(1) << 52) - 1, NULL},
        {"VAULT_QUOTA", CONFIG_INT, &quota, "0",
         "bytes on disk for all files together; 0: no limit", 0, INT64_MAX, NULL},
        {"VAULT_RESERVE", CONFIG_INT, &reserve, "67108864",
         "bytes of the disk that uploads leave free, for the index and the audit log", 0, INT64_MAX,
         NULL},
        {"VAULT_ANCHOR_S", CONFIG_INT, &period_s, "60",
         "seconds between two heads of the audit log in the server's log", 1, 3600, NULL},
        {"VAULT_CORS_ORIGINS", CONFIG_STRING, &origins, "",
         "origins whose pages may call, by comma, as in https://viewer.example", 0, 0, NULL},
        {"TRUSTED_PROXIES", CONFIG_STRING, &proxies, "", "addresses or CIDR, by comma", 0, 0, NULL},
    };
    struct strbuf why = STRBUF_INIT;
    struct store *store;
    struct http *http;
    service_init("dicom-vault", SUMMARY, options, CMD_COUNT(options), argc, argv);
    struct root_file from;
    if (cmd_root(&from, &why) != STATUS_OK ||
        store_open(cmd_data, from, (size_t)threads + 1, true, &store, &why) != STATUS_OK)
        service_die("open the vault", &why);
    store_set_limits(store, quota, reserve);
    struct workers *workers = workers_new("vault", (size_t)threads, 16 * (size_t)threads);
    struct refusals *refusals = refusals_new();
    routes_init(store, workers, refusals);
    dicomweb_init(store, workers);
    demo_init(cmd_data);
    struct http_options http_options = {
        .listen = listen,
        .authenticate = routes_authenticate,
        .workers = workers,
        .connections_max = (size_t)connections,
        .stream_max = (uint64_t)file_max,
        .cors_origins = origins,
        .trusted_proxies = proxies,
    };
    http_options.routes = routes_table(&http_options.route_count);
    if (http_start(&http_options, &http, &why) != STATUS_OK)
        service_die("listen", &why);
    struct minute *minute = minute_start(store, refusals, period_s);
    service_started(listen);
    service_wait();
    http_stop(http, SERVICE_DRAIN_MS);
    workers_free(workers);
    minute_stop(minute);
    refusals_free(refusals);
    store_close(store);
    strbuf_release(&why);
    return service_exit();
}
