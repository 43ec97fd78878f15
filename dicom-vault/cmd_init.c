#include "cmd.h"

int cmd_init(int argc, char **argv)
{
    static const struct config_option options[] = {CMD_WHERE};
    struct strbuf why = STRBUF_INIT;
    cmd_configure("make a new vault", options, CMD_COUNT(options), argc, argv);
    struct root_file from;
    enum status s = cmd_root(&from, &why);
    if (s == STATUS_OK)
        s = store_create(cmd_data, from, &why);
    int code = s == STATUS_OK ? 0 : cmd_complain(&why);
    strbuf_release(&why);
    return code;
}
