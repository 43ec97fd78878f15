#include "../unit.h"
#include "dicom_bytes.h"
#include "dicom_dict.h"
#include <stdio.h>

/* What the parser tells, as text: one letter an event. */
static size_t write_event(void *ctx, const struct dicom_event *e)
{
    struct strbuf *out = ctx;
    switch (e->kind) {
    case DICOM_ELEMENT:
        strbuf_addf(out, "%08X%s ", e->tag, e->vr);
        return 20;
    case DICOM_VALUE:
        strbuf_addf(out, "'%.*s' ", (int)e->value_len, (const char *)e->value);
        break;
    case DICOM_ITEM:
        strbuf_addf(out, "%u{ ", e->path[e->depth - 1].item);
        break;
    case DICOM_ITEM_END:
        strbuf_addstr(out, "} ");
        break;
    case DICOM_SEQUENCE_END:
        strbuf_addstr(out, "; ");
        break;
    case DICOM_FRAGMENT:
        strbuf_addf(out, "+%u ", e->length);
        break;
    }
    return 0;
}

static enum status parse(const struct strbuf *file, size_t piece, struct strbuf *events,
                         char why[65])
{
    struct dicom_parser *p = dicom_parser_new(write_event, events);
    enum status s = STATUS_OK;
    for (size_t at = 0; at < file->len && s == STATUS_OK; at += piece)
        s = dicom_push(p, (const uint8_t *)file->bytes + at,
                       piece < file->len - at ? piece : file->len - at);
    if (s == STATUS_OK)
        s = dicom_finish(p);
    snprintf(why, 65, "%s", dicom_why(p));
    dicom_parser_free(p);
    return s;
}

/* The same for every size of the pieces. */
static void expect(struct strbuf *file, const char *events, const char *reason)
{
    static const size_t pieces[] = {1, 3, 8, 131, 100000};
    for (size_t i = 0; i < COUNT(pieces); i++) {
        struct strbuf got = STRBUF_INIT;
        char why[65];
        enum status s = parse(file, pieces[i], &got, why);
        assert_string_equal(why, reason);
        assert_int_equal(s == STATUS_OK, !*reason);
        if (events) {
            const char *after_meta = strstr(strbuf_cstr(&got), "' ");
            assert_string_equal(after_meta ? after_meta + 2 : "", events);
        }
        strbuf_release(&got);
    }
    strbuf_release(file);
}

static void plain_elements(void **state)
{
    (void)state;
    struct strbuf f = STRBUF_INIT;
    add_start(&f, EXPLICIT_LE);
    add_short(&f, 0x00080060, "CS", "CT");
    add_short(&f, 0x00091001, "LO", "private");
    add_long(&f, 0x7FE00010, "OW", 4);
    strbuf_add(&f, "\1\2\3\4", 4);
    expect(&f, "00080060CS 'CT' 00091001LO 'private' 7FE00010OW '\1\2\3\4' ", "");

    add_start(&f, IMPLICIT_LE);
    add_head(&f, 0x00080060, 2);
    strbuf_addstr(&f, "MR");
    add_head(&f, 0x00100010, 0);
    add_head(&f, 0x00111001, 2);
    strbuf_addstr(&f, "!!");
    expect(&f, "00080060CS 'MR' 00100010PN '' 00111001UN '!!' ", "");
}

static void sequences(void **state)
{
    (void)state;
    struct strbuf f = STRBUF_INIT;
    add_start(&f, EXPLICIT_LE);
    add_long(&f, 0x00081140, "SQ", DICOM_UNDEFINED);
    add_head(&f, ITEM, DICOM_UNDEFINED);
    add_short(&f, 0x00081155, "UI", "1.2");
    add_head(&f, ITEM_END, 0);
    add_head(&f, ITEM, 0);
    add_head(&f, SEQUENCE_END, 0);
    add_long(&f, 0x00082112, "SQ", 8 + 11 + 8);
    add_head(&f, ITEM, 11);
    add_short(&f, 0x00081155, "UI", "1.3");
    add_head(&f, ITEM, 0);
    add_long(&f, 0x00082218, "SQ", 0);
    add_short(&f, 0x00100020, "LO", "id");
    expect(&f,
           "00081140SQ 0{ 00081155UI '1.2' } 1{ } ; 00082112SQ 0{ 00081155UI '1.3' } 1{ } ; "
           "00082218SQ ; 00100020LO 'id' ",
           "");
}

/* A sequence whose VR was lost is in implicit VR inside (PS3.5, 6.2.2). */
static void unknown_sequence(void **state)
{
    (void)state;
    struct strbuf f = STRBUF_INIT;
    add_start(&f, EXPLICIT_LE);
    add_long(&f, 0x00091010, "UN", DICOM_UNDEFINED);
    add_head(&f, ITEM, DICOM_UNDEFINED);
    add_head(&f, 0x00080060, 2);
    strbuf_addstr(&f, "CT");
    add_head(&f, ITEM_END, 0);
    add_head(&f, SEQUENCE_END, 0);
    add_short(&f, 0x00100020, "LO", "id");
    expect(&f, "00091010UN 0{ 00080060CS 'CT' } ; 00100020LO 'id' ", "");
}

static void fragments(void **state)
{
    (void)state;
    struct strbuf f = STRBUF_INIT;
    add_start(&f, JPEG_BASELINE);
    add_long(&f, 0x7FE00010, "OB", DICOM_UNDEFINED);
    add_head(&f, ITEM, 0);
    add_head(&f, ITEM, 3);
    strbuf_addstr(&f, "abc");
    add_head(&f, SEQUENCE_END, 0);
    add_long(&f, 0xFFFCFFFC, "OB", 0);
    expect(&f, "7FE00010OB +0 +3 ; FFFCFFFCOB '' ", "");
}

/* 4 GiB that are told of and never come cost nothing. */
static void lengths_are_not_believed(void **state)
{
    (void)state;
    struct strbuf f = STRBUF_INIT;
    add_start(&f, EXPLICIT_LE);
    add_long(&f, 0x00420011, "OB", UINT32_MAX - 1);
    strbuf_addstr(&f, "abc");
    expect(&f, "00420011OB ", "ends inside an element");
}

static void start(struct strbuf *f)
{
    strbuf_release(f);
    add_start(f, EXPLICIT_LE);
}

static void damaged_structure(void **state)
{
    (void)state;
    struct strbuf f = STRBUF_INIT;
    start(&f);
    add_short(&f, 0x00100020, "LO", "1");
    add_short(&f, 0x00100020, "LO", "2");
    expect(&f, NULL, "elements out of order");
    start(&f);
    add_short(&f, 0x00100020, "XX", "1");
    expect(&f, NULL, "unknown VR");
    start(&f);
    add_short(&f, 0x00100020, "LO", "1");
    add_short(&f, 0x00020016, "AE", "1");
    expect(&f, NULL, "file meta element in the data set");
    start(&f);
    add_long(&f, 0x00081140, "UT", DICOM_UNDEFINED);
    expect(&f, NULL, "value without a length");
    start(&f);
    add_head(&f, ITEM_END, 0);
    expect(&f, NULL, "item delimiter out of place");
    start(&f);
    add_head(&f, SEQUENCE_END, 0);
    expect(&f, NULL, "item out of place");
    start(&f);
    add_long(&f, 0x00081140, "SQ", DICOM_UNDEFINED);
    add_short(&f, 0x00100020, "LO", "1");
    expect(&f, NULL, "no item where one must be");
    start(&f);
    add_long(&f, 0x00081140, "SQ", DICOM_UNDEFINED);
    expect(&f, NULL, "ends inside an element");
    start(&f);
    add_long(&f, 0x7FE00010, "OB", DICOM_UNDEFINED);
    add_head(&f, ITEM, DICOM_UNDEFINED);
    expect(&f, NULL, "fragment without a length, or too long");
}

static void lengths_that_contradict(void **state)
{
    (void)state;
    struct strbuf f = STRBUF_INIT;
    start(&f);
    add_long(&f, 0x00081140, "SQ", 20); /* its item is longer */
    add_head(&f, ITEM, 100);
    expect(&f, NULL, "longer than what it stands in");
    start(&f);
    add_long(&f, 0x00081140, "SQ", 20); /* the element in it is */
    add_head(&f, ITEM, 12);
    add_short(&f, 0x00081155, "UI", "1.2.3.4.5.6");
    expect(&f, NULL, "longer than what it stands in");
    start(&f);
    add_long(&f, 0x00081140, "SQ", 12); /* an item's head does not fit */
    add_head(&f, ITEM, 0);
    add_head(&f, ITEM, 0);
    expect(&f, NULL, "longer than what it stands in");
    start(&f);
    add_long(&f, 0x00081140, "SQ", 30); /* delimited ones inside are held to it too */
    add_head(&f, ITEM, DICOM_UNDEFINED);
    add_long(&f, 0x00081155, "OB", 100);
    expect(&f, NULL, "longer than what it stands in");
}

static void nesting_is_bounded(void **state)
{
    (void)state;
    for (int depth = DICOM_DEPTH_MAX; depth <= DICOM_DEPTH_MAX + 1; depth++) {
        struct strbuf f = STRBUF_INIT;
        add_start(&f, EXPLICIT_LE);
        for (int i = 0; i < depth; i++) {
            add_long(&f, 0x00081140, "SQ", DICOM_UNDEFINED);
            add_head(&f, ITEM, DICOM_UNDEFINED);
        }
        for (int i = 0; i < depth; i++) {
            add_head(&f, ITEM_END, 0);
            add_head(&f, SEQUENCE_END, 0);
        }
        expect(&f, NULL, depth > DICOM_DEPTH_MAX ? "too many sequences inside each other" : "");
    }
}

static void refused_files(void **state)
{
    (void)state;
    static const char *const unread[] = {"1.2.840.10008.1.2.2", "1.2.840.10008.1.2.1.99",
                                         "1.2.840.113619.5.2"};
    struct strbuf f = STRBUF_INIT;
    expect(&f, NULL, "not a DICOM file: too short");
    for (int i = 0; i < 200; i++)
        strbuf_addch(&f, 'D');
    expect(&f, NULL, "not a DICOM file: no DICM at byte 128");
    start(&f);
    expect(&f, NULL, "no data set");
    static const char *const none[] = {"", "hello", " 1.2.840.10008.1.2"};
    for (size_t i = 0; i < COUNT(none); i++) {
        add_start(&f, none[i]);
        add_short(&f, 0x00080060, "CS", "CT");
        expect(&f, NULL, "no valid transfer syntax");
    }
    /* Its item would end the file meta group, and change what is below it alone. */
    static const char sequence[] = "\x02\0\x02\x01SQ\0\0\xff\xff\xff\xff\xfe\xff\0\xe0\0\0\0";
    add_start(&f, "1.2.840.10008.1.2");
    strbuf_add(&f, sequence, sizeof(sequence));
    expect(&f, NULL, "sequence in the file meta group");
    for (size_t i = 0; i < COUNT(unread); i++) {
        add_start(&f, unread[i]);
        add_short(&f, 0x00080060, "CS", "CT");
        expect(&f, "", "transfer syntax not supported");
    }
}

static void dictionary(void **state)
{
    (void)state;
    uint32_t last = 0, found = 0;
    for (uint32_t tag = 0x00080000; tag < 0x00290000; tag++) {
        const struct dicom_entry *e = dicom_by_tag(tag);
        if (!e)
            continue;
        assert_true(e->tag == tag && tag > last);
        assert_ptr_equal(dicom_by_keyword(e->keyword), e);
        last = tag;
        found++;
    }
    assert_true(found > 100);
    assert_null(dicom_by_tag(0x00091001));
    assert_null(dicom_by_tag(UINT32_MAX));
    assert_null(dicom_by_keyword("Nothing"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plain_elements),
        cmocka_unit_test(sequences),
        cmocka_unit_test(unknown_sequence),
        cmocka_unit_test(fragments),
        cmocka_unit_test(lengths_are_not_believed),
        cmocka_unit_test(damaged_structure),
        cmocka_unit_test(lengths_that_contradict),
        cmocka_unit_test(nesting_is_bounded),
        cmocka_unit_test(refused_files),
        cmocka_unit_test(dictionary),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
