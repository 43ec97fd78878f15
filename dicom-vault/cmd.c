#include "cmd.h"
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

const char *cmd_data, *cmd_root_key_file;

void cmd_configure(const char *summary, const struct config_option *options, size_t n, int argc,
                   char **argv)
{
    enum config_verdict verdict = config_load(summary, options, n, argc, argv);
    if (verdict != CONFIG_RUN)
        exit(verdict == CONFIG_EXIT_OK ? 0 : 2);
    umask(077);
}

enum status cmd_open(size_t threads, struct store **out, struct strbuf *why)
{
    return store_open(cmd_data, cmd_root_key_file, threads, false, out, why);
}

int cmd_complain(const struct strbuf *why)
{
    fprintf(stderr, "dicom-vault: %s\n", strbuf_cstr(why));
    return 1;
}
