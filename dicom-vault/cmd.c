#include "cmd.h"
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

const char *cmd_data, *cmd_root_key_file, *cmd_passphrase_file;

void cmd_configure(const char *summary, const struct config_option *options, size_t n, int argc,
                   char **argv)
{
    enum config_verdict verdict = config_load(summary, options, n, argc, argv);
    if (verdict != CONFIG_RUN)
        exit(verdict == CONFIG_EXIT_OK ? 0 : 2);
    umask(077);
}

enum status cmd_root(struct root_file *out, struct strbuf *why)
{
    out->passphrase = *cmd_passphrase_file;
    out->path = out->passphrase ? cmd_passphrase_file : cmd_root_key_file;
    if (!*cmd_passphrase_file != !*cmd_root_key_file)
        return STATUS_OK;
    strbuf_addstr(why, "give either VAULT_ROOT_KEY_FILE or VAULT_PASSPHRASE_FILE");
    return STATUS_UNPROCESSABLE;
}

enum status cmd_open(size_t threads, struct store **out, struct strbuf *why)
{
    struct root_file from;
    *out = NULL;
    enum status s = cmd_root(&from, why);
    return s == STATUS_OK ? store_open(cmd_data, from, threads, false, out, why) : s;
}

int cmd_complain(const struct strbuf *why)
{
    fprintf(stderr, "dicom-vault: %s\n", strbuf_cstr(why));
    return 1;
}
