#include "../unit.h"
#include "dicomweb_query.h"

static size_t count_days(const char *from, const char *to)
{
    struct strbuf values = STRBUF_INIT;
    size_t n = qido_days(from, to, &values) ? values.len / 9 : 0;
    if (n > 0) {
        assert_string_equal(values.bytes, from);
        assert_string_equal(values.bytes + 9 * (n - 1), to);
    }
    strbuf_release(&values);
    return n;
}

static void days(void **state)
{
    (void)state;
    assert_int_equal(count_days("20240228", "20240228"), 1);
    assert_int_equal(count_days("20240228", "20240301"), 3);
    assert_int_equal(count_days("20230228", "20230301"), 2);
    assert_int_equal(count_days("21000228", "21000301"), 2);
    assert_int_equal(count_days("20000228", "20000301"), 3);
    assert_int_equal(count_days("20231231", "20240101"), 2);
    assert_int_equal(count_days("20240101", "20241231"), 366);
    assert_int_equal(count_days("20240101", "20250101"), 0);
    assert_int_equal(count_days("20240302", "20240301"), 0);
    assert_int_equal(count_days("20240230", "20240301"), 0);
    assert_int_equal(count_days("20241301", "20241302"), 0);
    assert_int_equal(count_days("99991231", "99991231"), 1);
}

static enum status parse(const char *query, enum dicom_level level, struct qido *q)
{
    struct strbuf why = STRBUF_INIT;
    enum status s = qido_parse(query, level, q, &why);
    assert_int_equal(s == STATUS_OK, why.len == 0);
    strbuf_release(&why);
    return s;
}

static void queries(void **state)
{
    struct qido q;
    (void)state;
    assert_int_equal(parse("", STUDIES, &q), STATUS_OK);
    assert_int_equal(q.limit, 100);
    qido_release(&q);
    assert_int_equal(parse("&PatientName=Doe+de%20la^J&&limit=7&offset=9&", STUDIES, &q),
                     STATUS_OK);
    assert_string_equal(q.values[FIELD_PATIENT_NAME].bytes, "Doe de la^J");
    assert_true(q.limit == 7 && q.offset == 9);
    qido_release(&q);
    assert_int_equal(parse("includefield=all&includefield=00081030,PatientID,what", SERIES, &q),
                     STATUS_OK);
    assert_true(q.untold);
    qido_release(&q);
    assert_int_equal(parse("includefield=all&includefield=00081030,PatientID", STUDIES, &q),
                     STATUS_OK);
    assert_false(q.untold);
    qido_release(&q);
    assert_int_equal(parse("includefield=Modality", STUDIES, &q), STATUS_OK);
    assert_true(q.untold);
    qido_release(&q);
    assert_int_equal(parse("StudyInstanceUID=1.2,1.3%5C1.4", STUDIES, &q), STATUS_OK);
    assert_memory_equal(q.values[FIELD_STUDY].bytes, "1.2\0001.3\0001.4", 12);
    qido_release(&q);
}

/* However a name is spelt, it is asked for once. */
static void one_field_once(void **state)
{
    static const char *const twice[] = {
        "PatientID=1&PatientID=1",
        "PatientID=1&00100020=2",
        "PatientID=1&Patient%49D=2",
        "Modality=CT&00080060=CT",
    };
    (void)state;
    for (size_t i = 0; i < COUNT(twice); i++) {
        struct qido q;
        assert_int_equal(parse(twice[i], SERIES, &q), STATUS_BAD_REQUEST);
        qido_release(&q);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(days),
        cmocka_unit_test(queries),
        cmocka_unit_test(one_field_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
