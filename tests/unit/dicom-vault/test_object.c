#include "../unit.h"
#include "chunked.h"
#include "object.h"

static void identity_bytes(void **state)
{
    (void)state;
    uint8_t vault[VAULT_ID], id[OBJECT_ID], out[OBJECT_IDENTITY];
    memset(vault, 0x11, sizeof(vault));
    memset(id, 0x22, sizeof(id));
    object_identity(vault, id, out);
    assert_int_equal(sizeof(out), 42);
    assert_memory_equal(out, "\0\x10", 2);
    assert_memory_equal(out + 2, vault, 16);
    assert_memory_equal(out + 18, "\0\x10", 2);
    assert_memory_equal(out + 20, id, 16);
    assert_memory_equal(out + 36, "\0\x04\0\0\0\x01", 6);
}

static void ids(void **state)
{
    (void)state;
    static const char text[] = "00112233445566778899aabbccddeeff";
    static const char *const bad[] = {
        "",
        "0",
        "00112233445566778899aabbccddeef",
        "00112233445566778899aabbccddeeff0",
        "00112233445566778899AABBCCDDEEFF",
        "00112233445566778899aabbccddeefg",
        " 0112233445566778899aabbccddeeff",
        "../../../../../../../../etc/pass",
    };
    uint8_t id[OBJECT_ID];
    char again[OBJECT_ID_HEX + 1];
    assert_int_equal(object_id_parse(text, id), STATUS_OK);
    assert_int_equal(id[15], 0xFF);
    object_id_format(id, again);
    assert_string_equal(again, text);
    for (size_t i = 0; i < COUNT(bad); i++)
        assert_int_equal(object_id_parse(bad[i], id), STATUS_NOT_FOUND);
}

static bool valid(const char *name)
{
    return object_name_valid(name, strlen(name));
}

static void names(void **state)
{
    (void)state;
    char longest[OBJECT_NAME_MAX + 2];
    memset(longest, 'n', sizeof(longest));
    assert_true(object_name_valid(longest, OBJECT_NAME_MAX));
    assert_false(object_name_valid(longest, OBJECT_NAME_MAX + 1));
    static const char *const good[] = {"a",   "...",        ".hidden",
                                       "..x", "scan 1.dcm", "r\xC3\xB6ntgen"};
    static const char *const bad[] = {"",     ".",     "..",    "a/b",  "/",        "a\\b",
                                      "a\nb", "a\x7F", "a\x01", "\xFF", "\xC0\xAF", "\xED\xA0\x80",
                                      "\xC3"};
    for (size_t i = 0; i < COUNT(good); i++)
        assert_true(valid(good[i]));
    for (size_t i = 0; i < COUNT(bad); i++)
        assert_false(valid(bad[i]));
    assert_false(object_name_valid("a\0b", 3));
}

static void rows(void **state)
{
    (void)state;
    uint8_t row[OBJECT_ROW_MAX + 1];
    struct object o = {.size = 0x0102030405060708 & CHUNKED_MAX, .created_ms = 1700000000123};
    struct object again = {.size = 1};
    memset(o.sha256, 0xAA, sizeof(o.sha256));
    strcpy(o.name, "scan.dcm");
    size_t len = object_row_write(&o, row);
    assert_int_equal(len, 49 + 8);
    assert_int_equal(object_row_read(row, len, &again), STATUS_OK);
    assert_true(again.size == o.size);
    assert_true(again.created_ms == o.created_ms);
    assert_memory_equal(again.sha256, o.sha256, 32);
    assert_string_equal(again.name, "scan.dcm");
    assert_int_equal(object_row_read(row, OBJECT_ROW_FIXED, &again), STATUS_OK);
    assert_string_equal(again.name, "");
}

static void rows_never_written(void **state)
{
    (void)state;
    uint8_t row[OBJECT_ROW_MAX + 1];
    struct object o = {.size = CHUNKED_MAX}, again;
    memset(o.name, 'n', OBJECT_NAME_MAX);
    size_t len = object_row_write(&o, row);
    assert_int_equal(len, OBJECT_ROW_MAX);
    assert_int_equal(object_row_read(row, len, &again), STATUS_OK);
    row[len] = 'n';
    assert_int_equal(object_row_read(row, len + 1, &again), STATUS_CORRUPT);
    for (size_t i = 0; i < OBJECT_ROW_FIXED; i++)
        assert_int_equal(object_row_read(row, i, &again), STATUS_CORRUPT);
    row[60] = '/';
    assert_int_equal(object_row_read(row, len, &again), STATUS_CORRUPT);
    row[60] = 'n';
    row[0] = 2;
    assert_int_equal(object_row_read(row, len, &again), STATUS_CORRUPT);
    row[0] = 1;
    put_be(row + 1, CHUNKED_MAX + 1, 8);
    assert_int_equal(object_row_read(row, len, &again), STATUS_CORRUPT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(identity_bytes),
        cmocka_unit_test(ids),
        cmocka_unit_test(names),
        cmocka_unit_test(rows),
        cmocka_unit_test(rows_never_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
