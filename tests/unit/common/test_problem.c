#include "../unit.h"
#include "json.h"
#include "problem.h"

static json_t *written(enum status s, const char *detail, const char *id, const char *extra)
{
    struct strbuf out = STRBUF_INIT, why = STRBUF_INIT;
    json_t *root;
    problem_write(&out, s, detail, id, extra);
    assert_int_equal(json_parse(out.bytes, out.len, &root, &why), STATUS_OK);
    strbuf_release(&out);
    return root;
}

static const char *text(const json_t *root, const char *name)
{
    return json_string_value(json_object_get(root, name));
}

static void all_members(void **state)
{
    (void)state;
    struct strbuf out = STRBUF_INIT;
    problem_write(&out, STATUS_CONFLICT, "order is assigned", "5f3c", "\"state\":\"assigned\"");
    assert_string_equal(out.bytes,
                        "{\"type\":\"/problems/conflict\","
                        "\"title\":\"The resource's state does not allow this\",\"status\":409,"
                        "\"detail\":\"order is assigned\",\"request_id\":\"5f3c\","
                        "\"state\":\"assigned\"}");
    strbuf_release(&out);
}

static void every_status_is_json(void **state)
{
    (void)state;
    for (unsigned i = 1; i < STATUS_COUNT; i++) {
        json_t *root = written((enum status)i, NULL, NULL, NULL);
        assert_int_equal(json_integer_value(json_object_get(root, "status")),
                         status_http((enum status)i));
        assert_int_equal(json_object_size(root), 3);
        json_decref(root);
    }
}

static void hostile_detail_stays_text(void **state)
{
    (void)state;
    json_t *root = written(STATUS_BAD_REQUEST, "\",\"status\":200,\"x\":\"\n\xFF", "\"", "");
    assert_int_equal(json_integer_value(json_object_get(root, "status")), 400);
    assert_string_equal(text(root, "detail"), "\",\"status\":200,\"x\":\"\n\xEF\xBF\xBD");
    assert_string_equal(text(root, "request_id"), "\"");
    assert_int_equal(json_object_size(root), 5);
    json_decref(root);
}

static void inner_statuses_show_as_internal(void **state)
{
    (void)state;
    const enum status inner[] = {STATUS_DUPLICATE, STATUS_CONTENDED, STATUS_NEEDS_POOL,
                                 STATUS_COUNT};
    for (size_t i = 0; i < COUNT(inner); i++) {
        json_t *root = written(inner[i], NULL, NULL, NULL);
        assert_string_equal(text(root, "type"), "/problems/internal");
        json_decref(root);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_members),
        cmocka_unit_test(every_status_is_json),
        cmocka_unit_test(hostile_detail_stays_text),
        cmocka_unit_test(inner_statuses_show_as_internal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
