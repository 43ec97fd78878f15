#include "sql.h"
#include <string.h>

struct sql_value sql_text(const char *s)
{
    if (!s)
        return SQL_NULL;
    return (struct sql_value){SQL_TYPE_TEXT, 0, s, strlen(s)};
}
