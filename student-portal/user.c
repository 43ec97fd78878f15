#include "user.h"
#include <string.h>

static const struct {
    const char *name;
    roles bit;
} table[] = {{"student", STUDENT}, {"faculty", FACULTY}, {"admin", ADMIN}};
enum { ROLES = sizeof(table) / sizeof(table[0]) };

const char *role_name(roles role)
{
    for (size_t i = 0; i < ROLES; i++)
        if (table[i].bit == role)
            return table[i].name;
    return NULL;
}

enum status role_parse(const char *name, roles *out)
{
    for (size_t i = 0; i < ROLES; i++)
        if (strcmp(table[i].name, name) == 0) {
            *out = table[i].bit;
            return STATUS_OK;
        }
    return STATUS_UNPROCESSABLE;
}
