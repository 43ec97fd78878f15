#include "chat.h"
#include "health.h"
#include "listen.h"
#include "server.h"
#include "service.h"
#include "site.h"
#include "token.h"
#include <unistd.h>

enum demo_login { DEMO_OFF, DEMO_LOOPBACK, DEMO_FORCE };
enum { GRACE_MS = 4000 };

static struct chat_options chat_options;
static struct server_options server_options;
static int64_t demo_login, connections, user_connections, room_limit, queue_bytes, history_queue,
    slow_s;

static const struct config_option options[] = {
    {"SCRIBE_LISTEN", CONFIG_LISTEN, &server_options.listen, "127.0.0.1:8101",
     "address and port, [::1]:8101 for IPv6", 0, 0, NULL},
    {"SCRIBE_TOKEN_KEY", CONFIG_SECRET, &chat_options.token_key, NULL,
     "key of the tokens (HS256), 32 bytes or more", TOKEN_KEY_MIN, 0, NULL},
    {"HISTORY_URL", CONFIG_URL, &chat_options.history_url, NULL,
     "sqlite:///path, or mongodb://host/database", 1, 0, "sqlite|mongodb"},
    {"REDIS_URL", CONFIG_URL, &chat_options.redis_url, "redis://127.0.0.1:6379",
     "brings messages between servers; empty: they poll the history. Default: that of this machine",
     0, 0, "redis|rediss"},
    {"SCRIBE_DEMO_LOGIN", CONFIG_CHOICE, &demo_login, "0",
     "POST /demo/login gives tokens away; not on loopback only with force", 0, 0, "0|1|force"},
    {"SCRIBE_CONNECTIONS", CONFIG_INT, &connections, "10000", "WebSockets at most", 1, 1000000,
     NULL},
    {"SCRIBE_ORIGINS", CONFIG_STRING, &server_options.origins, "",
     "origins of pages, beside its own, that may connect, parted by commas", 0, 0, NULL},
    {"SCRIBE_USER_CONNECTIONS", CONFIG_INT, &user_connections, "20", "of them of one user", 1,
     1000000, NULL},
    {"SCRIBE_ROOM_LIMIT", CONFIG_INT, &room_limit, "1000",
     "users in a room, on all servers together", 1, 1000000, NULL},
    {"SCRIBE_RATE", CONFIG_INT, &chat_options.rate, "20",
     "messages of a connection a second; twice as many at once", 1, 1000000, NULL},
    {"SCRIBE_SLOW_S", CONFIG_INT, &slow_s, "30",
     "a connection that takes nothing for so long is ended", 1, 3600, NULL},
    {"SCRIBE_QUEUE_BYTES", CONFIG_INT, &queue_bytes, "1048576",
     "what a slow reader may have waiting, answers aside", 65536, 64 << 20, NULL},
    {"SCRIBE_HISTORY_QUEUE", CONFIG_INT, &history_queue, "4096",
     "requests that may wait for the history", 1, 1000000, NULL},
    {"SCRIBE_HELLO_MS", CONFIG_INT, &chat_options.hello_ms, "5000",
     "time for a connection to say hello", 100, 60000, NULL},
    {"SCRIBE_HEARTBEAT_S", CONFIG_INT, &server_options.heartbeat_s, "20",
     "silence before a ping; the connection ends after half as long again", 2, 3600, NULL},
};

static void check(bool fine, const char *what, const char *why)
{
    struct strbuf text = STRBUF_INIT;
    strbuf_addstr(&text, why);
    if (!fine)
        service_die(what, &text);
    strbuf_release(&text);
}

int main(int argc, char **argv)
{
    service_init("scribe", "chat in rooms, over WebSocket", options,
                 sizeof(options) / sizeof(options[0]), argc, argv);
    check(demo_login != DEMO_LOOPBACK || listen_is_loopback(server_options.listen),
          "SCRIBE_DEMO_LOGIN", "open to a network: want force, or a loopback address");

    struct strbuf why = STRBUF_INIT;
    struct chat *chat;
    struct server *server;
    chat_options.server = server_options.listen;
    chat_options.queue_bytes = (size_t)queue_bytes;
    chat_options.user_connections = (size_t)user_connections;
    chat_options.room_limit = (size_t)room_limit;
    chat_options.slow_ms = slow_s * 1000;
    chat_options.history_queue = (size_t)history_queue;
    chat_options.heartbeat_s = server_options.heartbeat_s;
    server_options.connections_max = (size_t)connections;
    if (site_init(chat_options.token_key, demo_login != DEMO_OFF, &why) != STATUS_OK)
        service_die("routes", &why);
    if (chat_new(&chat_options, &chat, &why) != STATUS_OK)
        service_die("stores", &why);
    health_add("history", chat_health, chat);
    if (server_start(&server_options, chat, &server, &why) != STATUS_OK)
        service_die("listen", &why);

    service_started(server_options.listen);
    service_wait();
    server_stop(server, GRACE_MS);
    if (!chat_free(chat))
        _exit(service_exit());
    return service_exit();
}
