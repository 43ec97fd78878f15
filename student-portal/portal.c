#include "portal.h"

struct portal portal;
