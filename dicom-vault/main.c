#include "cmd.h"
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>

static const struct {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *help;
} commands[] = {
    {"serve", cmd_serve, "answer requests until SIGTERM; the default"},
    {"init", cmd_init, "make a new vault in VAULT_DATA"},
    {"apikey", cmd_apikey, "make (--scope read,write) or revoke (--revoke ID) an API key"},
    {"audit", cmd_audit, "list, head, or verify (--expect HEAD) the audit log"},
    {"verify", cmd_verify, "read every file; report the damaged, and the deleted that are back"},
    {"backup", cmd_backup, "a consistent copy into the new folder --to, while serving"},
    {"rotate", cmd_rotate, "make a new wrapping key"},
    {"rewrap", cmd_rewrap, "wrap every data key under the newest key, beside the server"},
    {"retire", cmd_retire, "take a wrapping key that nothing uses out of the keyring"},
    {"shred", cmd_shred, "delete an object and its key from every page"},
};

int main(int argc, char **argv)
{
    prctl(PR_SET_DUMPABLE, 0); /* no core file, no debugger of the same user: both would see keys */
    if (argc < 2 || argv[1][0] == '-')
        return cmd_serve(argc, argv);
    for (size_t i = 0; i < CMD_COUNT(commands); i++)
        if (strcmp(commands[i].name, argv[1]) == 0)
            return commands[i].run(argc - 1, argv + 1);
    fprintf(stderr, "dicom-vault: no command %s; there are\n", argv[1]);
    for (size_t i = 0; i < CMD_COUNT(commands); i++)
        fprintf(stderr, "  %-8s %s\n", commands[i].name, commands[i].help);
    return 2;
}
