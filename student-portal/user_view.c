#include "user_view.h"

static json_t *account(const struct user *u)
{
    return json_string(u->account);
}

static json_t *name(const struct user *u)
{
    return json_string(u->name);
}

static json_t *role(const struct user *u)
{
    const char *word = role_name(u->role);
    return word ? json_string(word) : json_null();
}

static json_t *disabled(const struct user *u)
{
    return json_boolean(u->disabled);
}

static const struct {
    const char *field;
    roles seen_by;
    json_t *(*value)(const struct user *u);
} fields[] = {
    {"account", ONESELF | ADMIN, account},
    {"student", FACULTY, account}, /* to teachers, people are their students */
    {"name", ONESELF | FACULTY | ADMIN, name},
    {"role", ONESELF | ADMIN, role},
    {"disabled", ADMIN, disabled},
};

json_t *user_view(const struct user *user, roles viewer)
{
    json_t *object = json_object();
    for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++)
        if (fields[i].seen_by & viewer)
            json_object_set_new(object, fields[i].field, fields[i].value(user));
    return object;
}
