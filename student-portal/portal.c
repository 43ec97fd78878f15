#include "portal.h"

struct portal portal;

void portal_publish(enum status st, struct changes *list)
{
    if (st == STATUS_OK || st == STATUS_OUTCOME_UNKNOWN)
        invalidation_publish(portal.invalidation, list);
    changes_release(list);
}
