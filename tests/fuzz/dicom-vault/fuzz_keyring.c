/* The keyring file: as the disk has it, and (first byte odd) as somebody with the root key could
 * have sealed it, which reaches the parser behind the seal. */
#include "keyring.h"
#include <stdlib.h>
#include <string.h>

static const uint8_t root[KEY_SIZE] = {1, 2, 3};

static enum status read_sealed(const uint8_t *plain, size_t len, struct keyring **out)
{
    static const char magic[] = "VKEYRNG1", label[] = "dicom-vault keyring v1";
    uint8_t key[KEY_SIZE];
    struct strbuf file = STRBUF_INIT;
    hkdf_expand(root, label, strlen(label), key, KEY_SIZE);
    strbuf_addstr(&file, magic);
    strbuf_reserve(&file, len + SEAL_OVERHEAD);
    seal(key, magic, 8, plain, len, (uint8_t *)file.bytes + file.len);
    file.len += len + SEAL_OVERHEAD;
    enum status s = keyring_read(root, file.bytes, file.len, out);
    strbuf_release(&file);
    return s;
}

static void use(struct keyring *k)
{
    uint8_t id[OBJECT_ID] = {7}, key[KEY_SIZE] = {9}, wrapped[WRAPPED_KEY], opened[KEY_SIZE];
    uint32_t key_id;
    struct keyring *again;
    struct strbuf file = STRBUF_INIT;
    key_id = keyring_newest(k);
    keyring_wrap(k, key_id, id, key, wrapped);
    keyring_write(k, &file);
    if (keyring_read(root, file.bytes, file.len, &again) != STATUS_OK ||
        keyring_unwrap(again, id, key_id, wrapped, sizeof(wrapped), opened) != STATUS_OK ||
        memcmp(opened, key, KEY_SIZE) != 0)
        abort();
    keyring_free(again);
    strbuf_release(&file);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    struct keyring *k = NULL;
    if (len == 0)
        return 0;
    enum status s = bytes[0] & 1 ? read_sealed(bytes + 1, len - 1, &k)
                                 : keyring_read(root, bytes + 1, len - 1, &k);
    if (s == STATUS_OK)
        use(k);
    else if (k)
        abort();
    keyring_free(k);
    return 0;
}
