#include "dicom_index.h"
#include "temp.h"

static const struct audit_by tester = {"tester", "here"};
static const uint8_t data_key[KEY_SIZE] = {2, 2};

struct vault {
    struct keyring *keys;
    struct index *ix;
};

static struct vault open_vault(void)
{
    static const uint8_t root[KEY_SIZE] = {1};
    struct vault v = {.keys = keyring_new(root)};
    struct strbuf why = STRBUF_INIT;
    assert_int_equal(index_create(in_temp("index.db"), v.keys, &why), STATUS_OK);
    assert_int_equal(index_open(in_temp("index.db"), v.keys, 2, &v.ix, &why), STATUS_OK);
    strbuf_release(&why);
    return v;
}

static void close_vault(struct vault *v)
{
    index_close(v->ix);
    keyring_free(v->keys);
}

/* Instance `n`, of that study and modality, each in a series of its own. */
static void put(struct index *ix, uint8_t n, const char *study, const char *modality)
{
    char series[16];
    struct object o = {.id = {n}};
    struct strbuf text = STRBUF_INIT;
    json_t *attributes = json_object();
    snprintf(series, sizeof(series), "%s.%d", study, n);
    dicom_json_set(attributes, 0x0020000D, "UI", study);
    dicom_json_set(attributes, 0x0020000E, "UI", series);
    dicom_json_set(attributes, 0x00080060, "CS", modality);
    dicom_json_set(attributes, 0x00100020, "LO", "one patient");
    json_write(&text, attributes);
    struct dicom_row row = {.ix = ix, .attributes = text.bytes, .len = text.len};
    dicom_row_tag(&row, attributes);
    const struct index_with with = {.also = dicom_index_add, .also_ctx = &row};
    assert_int_equal(index_insert(ix, &o, data_key, &with, &tester), STATUS_OK);
    json_decref(attributes);
    strbuf_release(&text);
}

static void drop(struct index *ix, uint8_t n)
{
    const uint8_t id[OBJECT_ID] = {n};
    assert_int_equal(index_delete(ix, id, &tester), STATUS_OK);
}

struct seen {
    struct index *ix;
    char ids[64]; /* 'a' is instance 1 */
    size_t count, most;
};

/* While the first is looked at others come and go. */
static bool see(void *ctx, const struct object *o, json_t *attributes)
{
    struct seen *seen = ctx;
    assert_non_null(attributes);
    seen->ids[seen->count++] = (char)('a' + o->id[0] - 1);
    if (seen->count == 1 && seen->ix) {
        drop(seen->ix, 1);
        drop(seen->ix, 5);
        put(seen->ix, 20, "1.1", "CT");
        put(seen->ix, 21, "1.2", "CT");
    }
    return seen->count != seen->most;
}

static void expect_seen(struct index *ix, const struct dicom_query *q, struct seen seen,
                        const char *wanted)
{
    assert_int_equal(dicom_search(ix, q, see, &seen), STATUS_OK);
    assert_string_equal(seen.ids, wanted);
}

static struct dicom_query of_study(struct index *ix, enum dicom_level level)
{
    struct dicom_query q = {.level = level, .fields = 1};
    dicom_query_add(&q, ix, FIELD_STUDY, "1.1");
    return q;
}

/* Each that is there all the time once, whatever is stored and deleted meanwhile. */
static void none_is_skipped_or_doubled(void **state)
{
    static const enum dicom_level levels[] = {INSTANCES, SERIES};
    for (size_t i = 0; i < COUNT(levels); i++) {
        struct vault v = open_vault();
        for (uint8_t n = 1; n <= 8; n++)
            put(v.ix, n, n == 3 ? "1.2" : "1.1", "CT");
        struct dicom_query q = of_study(v.ix, levels[i]);
        expect_seen(v.ix, &q, (struct seen){.ix = v.ix}, "abdfgh");
        expect_seen(v.ix, &q, (struct seen){.ix = NULL}, "bdfght");
        expect_seen(v.ix, &q, (struct seen){.most = 2}, "bd");
        q.limit = 3;
        q.offset = 1;
        expect_seen(v.ix, &q, (struct seen){.ix = NULL}, "dfg");
        dicom_query_release(&q);
        close_vault(&v);
        temp_remove(state);
        temp_make(state);
    }
}

/* By few rows, however many series there are. */
static void every_modality_of_a_study(void **state)
{
    (void)state;
    struct vault v = open_vault();
    for (uint8_t n = 1; n <= 9; n++)
        put(v.ix, n, "1.1", n == 4 ? "SR" : n == 8 ? "PT" : "CT");
    put(v.ix, 10, "1.1", NULL);
    put(v.ix, 11, "1.2", "US");
    struct dicom_query q = of_study(v.ix, MODALITIES);
    expect_seen(v.ix, &q, (struct seen){.ix = NULL}, "adh");
    dicom_query_release(&q);
    close_vault(&v);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        temp_test(none_is_skipped_or_doubled),
        temp_test(every_modality_of_a_study),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
