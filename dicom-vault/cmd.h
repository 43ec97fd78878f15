/* The commands, one file each; main.c has the table. Each parses its
 * own arguments and returns the exit code: 0, 1 when it failed or found something, 2 for wrong
 * arguments. Main thread. */
#pragma once
#include "config.h"
#include "store.h"

/* The folder and the root key, which every command takes. */
extern const char *cmd_data, *cmd_root_key_file, *cmd_passphrase_file;
#define CMD_WHERE                                                                                  \
    {"VAULT_DATA", CONFIG_STRING, &cmd_data, NULL, "folder of blobs, index and keyring", 0, 0,     \
     NULL},                                                                                        \
        {"VAULT_ROOT_KEY_FILE",                                                                    \
         CONFIG_STRING,                                                                            \
         &cmd_root_key_file,                                                                       \
         "",                                                                                       \
         "file with the root key, 64 hex digits; or else",                                         \
         0,                                                                                        \
         0,                                                                                        \
         NULL},                                                                                    \
    {                                                                                              \
        "VAULT_PASSPHRASE_FILE", CONFIG_STRING, &cmd_passphrase_file, "",                          \
            "file with a passphrase of 12 bytes or more", 0, 0, NULL                               \
    }

/* Parse the arguments; exits where there is nothing to run, as service_init does. */
void cmd_configure(const char *summary, const struct config_option *options, size_t n, int argc,
                   char **argv);
/* Which of the two files was given; UNPROCESSABLE for none or both. */
enum status cmd_root(struct root_file *out, struct strbuf *why);
/* Open the vault, beside a server that may run, for `threads` callers at a time. */
enum status cmd_open(size_t threads, struct store **out, struct strbuf *why);
/* `why` to stderr; 1. */
int cmd_complain(const struct strbuf *why);

#define CMD_COUNT(array) (sizeof(array) / sizeof((array)[0]))

int cmd_serve(int argc, char **argv);
int cmd_init(int argc, char **argv);
int cmd_apikey(int argc, char **argv);
int cmd_audit(int argc, char **argv);
int cmd_verify(int argc, char **argv);
int cmd_backup(int argc, char **argv);
int cmd_rotate(int argc, char **argv);
int cmd_rewrap(int argc, char **argv);
int cmd_retire(int argc, char **argv);
int cmd_shred(int argc, char **argv);
