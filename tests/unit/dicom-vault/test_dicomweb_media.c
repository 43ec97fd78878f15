#include "../unit.h"
#include "dicomweb_media.h"

static const struct offer pictures[] = {{"image/jpeg", NULL, NULL}, {"image/png", NULL, NULL}};
static const struct offer whole[] = {
    {"multipart/related", "application/dicom", "1.2.840.10008.1.2.1"},
    {"application/dicom", NULL, "1.2.840.10008.1.2.1"},
};
static const struct offer mixed[] = {{"multipart/related", "application/dicom", ""}};

enum { REFUSED = -1, MALFORMED = -2 };

static int choose(const char *accept, const struct offer *offers, size_t n)
{
    size_t which;
    enum status s = media_choose(accept, offers, n, &which);
    return s == STATUS_OK ? (int)which : s == STATUS_NOT_ACCEPTABLE ? REFUSED : MALFORMED;
}

static void the_best_liked(void **state)
{
    static const struct {
        const char *accept;
        int of_two, of_jpeg_alone;
    } cases[] = {
        {NULL, 0, 0},
        {"*/*", 0, 0},
        {"image/*", 0, 0},
        {"image/png;q=1, image/jpeg;q=0.5", 1, 0},
        {"image/jpeg;q=0.5, image/png;q=0.501", 1, 0},
        {"image/png, image/jpeg", 1, 0}, /* as good as each other: in the client's order */
        {"image/jpeg, image/png", 0, 0},
        {"image/png;q=0.3, */*;q=0.2", 1, 0},
        {"*/*, image/jpeg;q=0", 1, REFUSED},
        {"image/jpeg;q=0.000, image/*;q=0.001", 1, REFUSED},
        {"image/*;q=0.9, image/jpeg;q=0.1", 1, 0}, /* what says most of a type counts for it */
        {"image/gif", REFUSED, REFUSED},
        {"IMAGE/PNG", 1, REFUSED},
        {"image/png;q=2", MALFORMED, MALFORMED},
        {"image/png;q=x", MALFORMED, MALFORMED},
        {"image/png;q=nan", MALFORMED, MALFORMED},
        {"???", MALFORMED, MALFORMED},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        assert_int_equal(choose(cases[i].accept, pictures, 2), cases[i].of_two);
        assert_int_equal(choose(cases[i].accept, pictures, 1), cases[i].of_jpeg_alone);
    }
}

#define RELATED "multipart/related; type=\"application/dicom\""

static void parts_in_a_transfer_syntax(void **state)
{
    static const struct {
        const char *accept;
        int of_one, of_several;
    } cases[] = {
        {RELATED, 0, 0},
        {"multipart/related", 0, 0},
        {"multipart/*", 0, 0},
        {"application/dicom", 1, REFUSED},
        {"application/dicom, */*;q=0.1", 1, 0},
        {RELATED "; transfer-syntax=*", 0, 0},
        {RELATED "; transfer-syntax=1.2.840.10008.1.2.1", 0, REFUSED},
        {RELATED "; transfer-syntax=1.2.840.10008.1.2", REFUSED, REFUSED},
        {RELATED "; transfer-syntax=1.2.840.10008.1.2, " RELATED ";q=0.1", 0, 0},
        {RELATED "; transfer-syntax=1.2.840.10008.1.2.1;q=0.2, application/dicom;q=0.3", 1,
         REFUSED},
        {RELATED "; q=0, */*", 1, REFUSED},
        {"multipart/related; type=\"application/dicom+xml\"", REFUSED, REFUSED},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        assert_int_equal(choose(cases[i].accept, whole, 2), cases[i].of_one);
        assert_int_equal(choose(cases[i].accept, mixed, 1), cases[i].of_several);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_best_liked),
        cmocka_unit_test(parts_in_a_transfer_syntax),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
