#include "fault.h"
#include "log.h"
#include "secret.h"
#include "token.h"
#include <stdlib.h>
#include <string.h>

static const char *fault_key; /* NULL: off */

void fault_init(bool on, const char *key)
{
    fault_key = on ? key : NULL;
}

bool fault_on(void)
{
    return fault_key != NULL;
}

enum status fault_check(const char *authorization)
{
    if (!fault_key)
        return STATUS_NOT_FOUND;
    const char *key = token_bearer(authorization);
    size_t len = strlen(fault_key);
    bool same = key && strlen(key) == len &&
                secret_equal((const uint8_t *)key, (const uint8_t *)fault_key, len);
    return same ? STATUS_OK : STATUS_FORBIDDEN;
}

void fault_crash(void)
{
    log_warn("crash_on_request", F("reason", "POST /demo/crash"));
    abort();
}
