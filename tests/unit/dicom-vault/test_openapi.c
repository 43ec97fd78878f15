#include "../unit.h"
#include "apikey.h"
#include "dicom-vault_embed.h"
#include "json.h"
#include "routes.h"
#include <string.h>

static json_t *description(void)
{
    const struct embed_file *file = embed_find(&dicom_vault_web, "openapi.json");
    json_t *root = json_loadb((const char *)file->bytes, file->len, JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(root);
    return root;
}

static bool is_page(const struct route *r)
{
    return r->who == ANYONE;
}

static const char *verb(enum method m)
{
    return m == GET ? "get" : m == POST ? "post" : m == PUT ? "put" : "delete";
}

static const char *scope(roles who)
{
    return who == SCOPE_READ    ? "(scope read)"
           : who == SCOPE_WRITE ? "(scope write)"
                                : "(scope admin)";
}

/* Each route with the scope that its summary names, and nothing else. */
static void names_the_routes_and_no_other(void **state)
{
    (void)state;
    size_t n, routes = 0, described = 0;
    json_t *root = description(), *paths = json_object_get(root, "paths"), *path, *entry;
    const struct route *table = routes_table(&n);
    const char *pattern, *name;
    for (size_t i = 0; i < n; i++) {
        if (is_page(&table[i]))
            continue;
        routes++;
        json_t *found =
            json_object_get(json_object_get(paths, table[i].pattern), verb(table[i].method));
        const char *summary = json_string_value(json_object_get(found, "summary"));
        if (!summary || !strstr(summary, scope(table[i].who)))
            fail_msg("%s %s", verb(table[i].method), table[i].pattern);
    }
    json_object_foreach(paths, pattern, path) json_object_foreach(path, name, entry) described +=
        strcmp(name, "parameters") != 0;
    assert_int_equal(described, routes);
    assert_true(routes >= 5);
    json_decref(root);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(names_the_routes_and_no_other)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
