#include "memo.h"
#include "strbuf.h"
#include <stdlib.h>
#include <string.h>

enum { WAYS = 8 };

struct place {
    uint64_t touched; /* 0: empty */
    uint8_t key[MEMO_KEY];
};

struct memo {
    size_t sets, value_size;
    uint64_t clock;
    struct place *places;
    uint8_t *values;
};

struct memo *memo_new(size_t places, size_t value_size)
{
    struct memo *m = xcalloc(1, sizeof(*m));
    m->value_size = value_size;
    for (m->sets = 1; m->sets * WAYS < places;)
        m->sets *= 2;
    m->places = xcalloc(m->sets * WAYS, sizeof(*m->places));
    m->values = xcalloc(m->sets * WAYS, value_size);
    return m;
}

void memo_free(struct memo *m)
{
    if (!m)
        return;
    free(m->places);
    free(m->values);
    free(m);
}

static struct place *set_of(const struct memo *m, const uint8_t *key)
{
    uint64_t bits;
    memcpy(&bits, key, sizeof(bits));
    return &m->places[(bits & (m->sets - 1)) * WAYS];
}

static struct place *find(const struct memo *m, const uint8_t *key)
{
    struct place *set = set_of(m, key);
    for (size_t i = 0; i < WAYS; i++)
        if (set[i].touched && memcmp(set[i].key, key, MEMO_KEY) == 0)
            return &set[i];
    return NULL;
}

static void *value_at(const struct memo *m, const struct place *place)
{
    return m->values + (size_t)(place - m->places) * m->value_size;
}

void *memo_get(struct memo *m, const uint8_t key[MEMO_KEY])
{
    struct place *place = find(m, key);
    if (!place)
        return NULL;
    place->touched = ++m->clock;
    return value_at(m, place);
}

void *memo_put(struct memo *m, const uint8_t key[MEMO_KEY])
{
    void *known = memo_get(m, key);
    if (known)
        return known;
    struct place *oldest = set_of(m, key);
    for (struct place *p = oldest + 1; p < set_of(m, key) + WAYS; p++)
        if (p->touched < oldest->touched)
            oldest = p;
    oldest->touched = ++m->clock;
    memcpy(oldest->key, key, MEMO_KEY);
    return memset(value_at(m, oldest), 0, m->value_size);
}

void memo_drop(struct memo *m, const uint8_t key[MEMO_KEY])
{
    struct place *place = find(m, key);
    if (place)
        place->touched = 0;
}
