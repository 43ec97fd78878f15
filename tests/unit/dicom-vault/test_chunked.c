#include "../unit.h"
#include "chunked.h"
#include "secret.h"
#include "strbuf.h"

static const char context[] = "vault-example";
enum { CONTEXT_LEN = sizeof(context) - 1 };

static void counting(uint8_t *out, size_t len, unsigned from)
{
    for (size_t i = 0; i < len; i++)
        out[i] = (uint8_t)(from + i);
}

static void keyed(uint8_t key[KEY_SIZE])
{
    counting(key, KEY_SIZE, 0);
}

static void finish(struct chunked_sealer *s, struct strbuf *file)
{
    strbuf_reserve(file, CHUNKED_SEALED);
    file->len += chunked_seal_last(s, (uint8_t *)file->bytes + file->len);
    chunked_sealer_free(s);
}

/* The whole file of a message, given to the sealer `piece` bytes at a time. */
static void seal_file(const uint8_t *message, size_t len, size_t piece, struct strbuf *file)
{
    uint8_t key[KEY_SIZE], salt[CHUNKED_SALT], header[CHUNKED_HEADER];
    keyed(key);
    counting(salt, sizeof(salt), 0xA0);
    struct chunked_sealer *s = chunked_sealer_salted(key, context, CONTEXT_LEN, salt, header);
    strbuf_reset(file);
    strbuf_add(file, header, sizeof(header));
    for (size_t at = 0; at < len; at += piece) {
        size_t n, take = len - at < piece ? len - at : piece;
        strbuf_reserve(file, CHUNKED_ROOM(take));
        assert_int_equal(
            chunked_seal(s, message + at, take, (uint8_t *)file->bytes + file->len, &n), STATUS_OK);
        assert_true(n <= CHUNKED_ROOM(take));
        file->len += n;
    }
    finish(s, file);
}

static struct chunked_opener *opener(const struct strbuf *file)
{
    uint8_t key[KEY_SIZE];
    struct chunked_opener *o;
    keyed(key);
    assert_int_equal(chunked_opener_new(key, context, CONTEXT_LEN, (uint8_t *)file->bytes, &o),
                     STATUS_OK);
    return o;
}

static enum status open_at(struct chunked_opener *o, const struct strbuf *file, uint64_t k,
                           size_t size, uint8_t *out)
{
    return chunked_open(o, k, (const uint8_t *)file->bytes + chunked_offset(k),
                        chunked_length(size, k), out);
}

static void assert_hex(const void *bytes, size_t len, const char *hex)
{
    struct strbuf text = STRBUF_INIT;
    hex_encode(&text, bytes, len);
    assert_string_equal(strbuf_cstr(&text), hex);
    strbuf_release(&text);
}

static void known_answer_hello(void **state)
{
    (void)state;
    struct strbuf file = STRBUF_INIT;
    seal_file((const uint8_t *)"hello", 5, 5, &file);
    assert_int_equal(file.len, 77);
    assert_hex(file.bytes, CHUNKED_SALT, "a0a1a2a3a4a5a6a7a8a9aaabacadaeafb0b1b2b3b4b5b6b7");
    assert_hex(file.bytes + CHUNKED_SALT, CHUNKED_COMMITMENT,
               "61ef7ece09f0f1109f5e239f8f71c9a2d5b33e29f2819d0cf95b049461c1510f");
    assert_hex(file.bytes + CHUNKED_HEADER, 21, "cfa34442b41b05c7508f677918ca6aa49d0c22d22b");
    strbuf_release(&file);
}

static void known_answer_whole_chunk(void **state)
{
    (void)state;
    static const uint8_t zeros[CHUNKED_PLAIN];
    uint8_t hash[32];
    struct strbuf file = STRBUF_INIT;
    seal_file(zeros, sizeof(zeros), sizeof(zeros), &file);
    assert_int_equal(file.len, 16472);
    assert_hex(file.bytes + file.len - 16, 16, "4c1ed3c5c0019fa8ad372c7822e80cde");
    secret_sha256(file.bytes, file.len, hash);
    assert_hex(hash, 32, "65d29356632f18179e7a8db14ad5f7f26efe8b2685e05a7bea42972c241f4638");
    strbuf_release(&file);
}

static void file_sizes(void **state)
{
    (void)state;
    static const struct {
        uint64_t message, file;
    } known[] = {{0, 72},
                 {1024, 1096},
                 {16383, 16455},
                 {16384, 16472},
                 {16385, 16473},
                 {20480, 20568},
                 {CHUNKED_MAX, CHUNKED_MAX + 56 + (UINT64_C(16) << 38)}};
    for (size_t i = 0; i < COUNT(known); i++)
        assert_true(chunked_file_size(known[i].message) == known[i].file);
    assert_int_equal(chunked_length(16384, 0), 16400);
    assert_int_equal(chunked_length(16384, 1), 16);
    assert_int_equal(chunked_length(16383, 0), 16399);
    assert_true(chunked_offset(3) == 56 + 3 * 16400);
}

/* Whatever the pieces, the file is the same, of the size it must have, and opens in any order. */
static void around_every_edge(void **state)
{
    (void)state;
    static const size_t pieces[] = {1000, 16383, 16384, 16385, 40000, 1 << 20};
    static uint8_t message[3 * CHUNKED_PLAIN + 2], plain[CHUNKED_PLAIN];
    struct strbuf whole = STRBUF_INIT, file = STRBUF_INIT;
    counting(message, sizeof(message), 3);
    for (size_t edge = 0; edge <= 3 * CHUNKED_PLAIN; edge += CHUNKED_PLAIN) {
        for (size_t len = edge ? edge - 2 : 0; len <= edge + 2; len++) {
            seal_file(message, len, sizeof(message), &whole);
            assert_int_equal(whole.len, chunked_file_size(len));
            for (size_t i = 0; i < COUNT(pieces); i++) {
                seal_file(message, len, pieces[i], &file);
                assert_int_equal(file.len, whole.len);
                assert_memory_equal(file.bytes, whole.bytes, whole.len);
            }
            struct chunked_opener *o = opener(&file);
            for (uint64_t k = len / CHUNKED_PLAIN + 1; k-- > 0;) {
                assert_int_equal(open_at(o, &file, k, len, plain), STATUS_OK);
                assert_memory_equal(plain, message + k * CHUNKED_PLAIN,
                                    chunked_length(len, k) - CHUNKED_TAG);
            }
            chunked_opener_free(o);
        }
    }
    strbuf_release(&whole);
    strbuf_release(&file);
}

static void byte_by_byte(void **state)
{
    (void)state;
    static uint8_t message[CHUNKED_PLAIN + 1];
    struct strbuf whole = STRBUF_INIT, file = STRBUF_INIT;
    seal_file(message, sizeof(message), sizeof(message), &whole);
    seal_file(message, sizeof(message), 1, &file);
    assert_int_equal(file.len, whole.len);
    assert_memory_equal(file.bytes, whole.bytes, whole.len);
    strbuf_release(&whole);
    strbuf_release(&file);
}

/* Any bit of the header, of the key, of the context: stopped at the commitment. */
static void commitment_binds(void **state)
{
    (void)state;
    uint8_t key[KEY_SIZE], header[CHUNKED_HEADER];
    struct chunked_opener *o;
    struct strbuf file = STRBUF_INIT;
    seal_file((const uint8_t *)"hello", 5, 5, &file);
    memcpy(header, file.bytes, sizeof(header));
    keyed(key);
    for (size_t bit = 0; bit < 8 * sizeof(header); bit++) {
        header[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_int_equal(chunked_opener_new(key, context, CONTEXT_LEN, header, &o), STATUS_CORRUPT);
        assert_null(o);
        header[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    assert_int_equal(chunked_opener_new(key, context, CONTEXT_LEN - 1, header, &o), STATUS_CORRUPT);
    assert_int_equal(chunked_opener_new(key, context, CONTEXT_LEN + 1, header, &o), STATUS_CORRUPT);
    assert_int_equal(chunked_opener_new(key, NULL, 0, header, &o), STATUS_CORRUPT);
    for (size_t i = 0; i < KEY_SIZE; i++) {
        key[i] ^= 0x80;
        assert_int_equal(chunked_opener_new(key, context, CONTEXT_LEN, header, &o), STATUS_CORRUPT);
        key[i] ^= 0x80;
    }
    strbuf_release(&file);
}

/* One flipped bit in each byte of every chunk: nothing comes out. */
static void flipped_chunks(void **state)
{
    (void)state;
    enum { LEN = 2 * CHUNKED_PLAIN + 100 };
    static uint8_t message[LEN], plain[CHUNKED_PLAIN];
    static const uint8_t zeros[CHUNKED_PLAIN];
    struct strbuf file = STRBUF_INIT;
    counting(message, LEN, 9);
    seal_file(message, LEN, LEN, &file);
    struct chunked_opener *o = opener(&file);
    for (uint64_t k = 0; k < 3; k++) {
        size_t len = chunked_length(LEN, k);
        for (size_t i = 0; i<len; i += len - i> 40 && i > 20 ? 97 : 1) {
            char *byte = file.bytes + chunked_offset(k) + i;
            *byte = (char)(*byte ^ (1 << i % 8));
            assert_int_equal(open_at(o, &file, k, LEN, plain), STATUS_CORRUPT);
            assert_memory_equal(plain, zeros, len - CHUNKED_TAG);
            *byte = (char)(*byte ^ (1 << i % 8));
        }
        assert_int_equal(open_at(o, &file, k, LEN, plain), STATUS_OK); /* the control */
    }
    chunked_opener_free(o);
    strbuf_release(&file);
}

static void misplaced_and_cut_chunks(void **state)
{
    (void)state;
    enum { LEN = 3 * CHUNKED_PLAIN };
    static uint8_t message[LEN], plain[CHUNKED_PLAIN + 64];
    struct strbuf file = STRBUF_INIT;
    seal_file(message, LEN, LEN, &file); /* all chunks hold the same plaintext */
    struct chunked_opener *o = opener(&file);
    const uint8_t *bytes = (const uint8_t *)file.bytes;
    for (uint64_t k = 0; k < 4; k++)
        for (uint64_t at = 0; at < 4; at++)
            assert_int_equal(
                chunked_open(o, k, bytes + chunked_offset(at), chunked_length(LEN, at), plain),
                k == at ? STATUS_OK : STATUS_CORRUPT);
    static const size_t lengths[] = {0, 1, 15, 16, 17, 16383, 16384, 16399, 16401, 16416};
    for (size_t i = 0; i < COUNT(lengths); i++)
        assert_int_equal(chunked_open(o, 0, bytes + CHUNKED_HEADER, lengths[i], plain),
                         STATUS_CORRUPT);
    assert_int_equal(chunked_open(o, UINT64_C(1) << 38, bytes + CHUNKED_HEADER, 16400, plain),
                     STATUS_CORRUPT);
    assert_int_equal(chunked_open(o, 1 + (UINT64_C(1) << 37), bytes + CHUNKED_HEADER, 16400, plain),
                     STATUS_CORRUPT);
    chunked_opener_free(o);
    strbuf_release(&file);
}

static void opens_in_place(void **state)
{
    (void)state;
    struct strbuf file = STRBUF_INIT;
    seal_file((const uint8_t *)"hello", 5, 5, &file);
    struct chunked_opener *o = opener(&file);
    uint8_t *chunk = (uint8_t *)file.bytes + CHUNKED_HEADER;
    assert_int_equal(chunked_open(o, 0, chunk, 21, chunk), STATUS_OK);
    assert_memory_equal(chunk, "hello", 5);
    chunked_opener_free(o);
    strbuf_release(&file);
}

static void salts_differ(void **state)
{
    (void)state;
    uint8_t key[KEY_SIZE], a[CHUNKED_HEADER], b[CHUNKED_HEADER];
    keyed(key);
    chunked_sealer_free(chunked_sealer_new(key, NULL, 0, a));
    chunked_sealer_free(chunked_sealer_new(key, NULL, 0, b));
    assert_memory_not_equal(a, b, CHUNKED_SALT);
    assert_memory_not_equal(a + CHUNKED_SALT, b + CHUNKED_SALT, CHUNKED_COMMITMENT);
    chunked_sealer_free(NULL);
    chunked_opener_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_answer_hello), cmocka_unit_test(known_answer_whole_chunk),
        cmocka_unit_test(file_sizes),         cmocka_unit_test(around_every_edge),
        cmocka_unit_test(byte_by_byte),       cmocka_unit_test(commitment_binds),
        cmocka_unit_test(flipped_chunks),     cmocka_unit_test(misplaced_and_cut_chunks),
        cmocka_unit_test(opens_in_place),     cmocka_unit_test(salts_differ),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
