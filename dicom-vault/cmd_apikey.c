#include "apikey.h"
#include "cmd.h"
#include <stdio.h>

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

int cmd_apikey(int argc, char **argv)
{
    static const char *scope, *revoke;
    static const struct config_option options[] = {
        CMD_WHERE,
        {"SCOPE", CONFIG_STRING, &scope, "", "make a key with these, by comma: read,write,admin", 0,
         0, NULL},
        {"REVOKE", CONFIG_STRING, &revoke, "", "id of a key that is to end", 0, 0, NULL},
    };
    struct strbuf why = STRBUF_INIT;
    struct store *store = NULL;
    enum status s = STATUS_UNPROCESSABLE;
    cmd_configure("make or revoke an API key", options, CMD_COUNT(options), argc, argv);
    if (!*scope == !*revoke)
        strbuf_addstr(&why, "apikey: give either --scope or --revoke");
    else
        s = cmd_open(1, &store, &why);
    if (s == STATUS_OK)
        s = *scope ? make_key(store, scope, &why) : revoke_key(store, revoke, &why);
    int code = s == STATUS_OK ? 0 : cmd_complain(&why);
    store_close(store);
    strbuf_release(&why);
    return code;
}
