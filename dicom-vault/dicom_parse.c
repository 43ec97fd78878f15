#include "dicom_parse.h"
#include "dicom_dict.h"
#include "dicom_text.h"
#include "strbuf.h"
#include <stdlib.h>
#include <string.h>

enum {
    PREAMBLE = 128,
    LEVELS = 2 * DICOM_DEPTH_MAX + 2, /* each sequence and its item; fragments */
    TAG_ITEM = 0xE000,
    TAG_ITEM_END = 0xE00D,
    TAG_SEQUENCE_END = 0xE0DD,
    DELIMITER_GROUP = 0xFFFE,
};

enum level_kind { DATASET, SEQUENCE, FRAGMENTS }; /* an item is a data set too */

struct level {
    enum level_kind kind;
    uint64_t end;   /* where it ends; with a delimiter, where it must have ended */
    bool delimited; /* it ends at its delimiter, not at `end` */
    bool implicit;  /* VR */
    uint32_t tag;   /* the sequence's; in a data set, the element before */
    bool first;     /* no element was before */
};

enum state { IN_PREAMBLE, IN_HEAD, IN_VALUE };

struct dicom_parser {
    dicom_tap *tap;
    void *ctx;
    enum status status;
    const char *why;
    enum state state;
    uint64_t at;
    uint8_t head[12];
    size_t have, need;
    bool in_meta;
    char syntax[DICOM_UID_MAX + 1];
    struct dicom_event event;
    uint64_t left;      /* of the value, to come */
    bool fragment;      /* the value is one */
    size_t keep, asked; /* of it: by us, by the tap */
    struct strbuf kept;
    size_t levels;
    struct level level[LEVELS];
    struct dicom_step path[DICOM_DEPTH_MAX];
};

static enum status fail(struct dicom_parser *p, enum status s, const char *why)
{
    p->status = s;
    p->why = why;
    return s;
}

static enum status bad(struct dicom_parser *p, const char *why)
{
    return fail(p, STATUS_UNPROCESSABLE, why);
}

uint64_t dicom_le(const uint8_t *in, size_t size)
{
    uint64_t value = 0;
    while (size-- > 0)
        value = value << 8 | in[size];
    return value;
}

bool dicom_vr_in(const char vr[3], const char *list)
{
    for (; *list; list += 3)
        if (list[0] == vr[0] && list[1] == vr[1])
            return true;
    return false;
}

static uint32_t le16(const uint8_t *b)
{
    return (uint32_t)dicom_le(b, 2);
}

static uint32_t le32(const uint8_t *b)
{
    return (uint32_t)dicom_le(b, 4);
}

static struct level *top(struct dicom_parser *p)
{
    return &p->level[p->levels - 1];
}

static void expect_head(struct dicom_parser *p)
{
    p->state = IN_HEAD;
    p->have = 0;
    p->need = 8;
}

static size_t tell(struct dicom_parser *p, enum dicom_kind kind)
{
    p->event.kind = kind;
    return p->tap(p->ctx, &p->event);
}

/* --- levels ---------------------------------------------------------------------------------- */

static enum status push_level(struct dicom_parser *p, enum level_kind kind, uint32_t length,
                              bool implicit)
{
    bool delimited = length == DICOM_UNDEFINED;
    uint64_t end = delimited ? top(p)->end : p->at + length;
    if (end > top(p)->end)
        return bad(p, "longer than what it stands in");
    p->level[p->levels++] = (struct level){kind, end, delimited, implicit, p->event.tag, true};
    return STATUS_OK;
}

static enum status begin_sequence(struct dicom_parser *p, bool implicit)
{
    if (p->event.depth == DICOM_DEPTH_MAX)
        return bad(p, "too many sequences inside each other");
    p->path[p->event.depth++] = (struct dicom_step){p->event.tag, 0};
    return push_level(p, SEQUENCE, p->event.length, implicit);
}

static void end_level(struct dicom_parser *p)
{
    struct level was = *top(p);
    p->levels--;
    p->event.tag = was.kind == DATASET ? p->path[p->event.depth - 1].tag : was.tag;
    if (was.kind == SEQUENCE)
        p->event.depth--;
    tell(p, was.kind == DATASET ? DICOM_ITEM_END : DICOM_SEQUENCE_END);
    if (was.kind == DATASET)
        p->path[p->event.depth - 1].item++;
}

/* Whatever ends here because its length says so. */
static void end_full_levels(struct dicom_parser *p)
{
    while (p->levels > 1 && !top(p)->delimited && top(p)->end == p->at)
        end_level(p);
    expect_head(p);
}

/* --- values ---------------------------------------------------------------------------------- */

static enum status refuse_syntax(struct dicom_parser *p)
{
    static const char *const unread[] = {
        "1.2.840.10008.1.2.2",     /* explicit VR big endian */
        "1.2.840.10008.1.2.1.99",  /* deflated explicit VR little endian */
        "1.2.840.10008.1.2.4.95",  /* JPIP referenced deflate */
        "1.2.840.10008.1.2.4.205", /* JPIP HTJ2K referenced deflate */
        "1.2.840.113619.5.2",      /* GE: implicit VR little endian, pixels big endian */
    };
    for (size_t i = 0; i < sizeof(unread) / sizeof(unread[0]); i++)
        if (strcmp(p->syntax, unread[i]) == 0)
            return fail(p, STATUS_UNSUPPORTED_MEDIA, "transfer syntax not supported");
    return dicom_uid_valid(p->syntax) ? STATUS_OK : bad(p, "no valid transfer syntax");
}

static void take_syntax(struct dicom_parser *p)
{
    size_t len = p->kept.len < DICOM_UID_MAX ? p->kept.len : DICOM_UID_MAX;
    while (len > 0 && (p->kept.bytes[len - 1] == '\0' || p->kept.bytes[len - 1] == ' '))
        len--;
    if (len > 0)
        memcpy(p->syntax, p->kept.bytes, len);
    p->syntax[len] = '\0';
    if (strlen(p->syntax) != len) /* a NUL inside */
        p->syntax[0] = '\0';
}

static void end_value(struct dicom_parser *p)
{
    static const uint8_t nothing[1];
    if (p->in_meta && p->event.tag == DICOM_TAG(2, 0x10))
        take_syntax(p);
    if (!p->fragment) {
        p->event.value = p->kept.len ? (const uint8_t *)p->kept.bytes : nothing;
        p->event.value_len = p->kept.len < p->asked ? p->kept.len : p->asked;
        tell(p, DICOM_VALUE);
        p->event.value = NULL;
        p->event.value_len = 0;
    }
    strbuf_reset(&p->kept);
    p->fragment = false;
    end_full_levels(p);
}

static void begin_value(struct dicom_parser *p, size_t keep)
{
    p->left = p->event.length;
    p->keep = p->asked = keep < DICOM_KEEP_MAX ? keep : DICOM_KEEP_MAX;
    if (p->in_meta && p->event.tag == DICOM_TAG(2, 0x10) && p->keep < DICOM_UID_MAX)
        p->keep = DICOM_UID_MAX;
    p->state = IN_VALUE;
    if (p->left == 0)
        end_value(p);
}

/* --- heads ----------------------------------------------------------------------------------- */

static bool vr_is_long(const char vr[3])
{
    return dicom_vr_in(vr, "OB OD OF OL OV OW SQ SV UC UN UR UT UV ");
}

static bool vr_known(const char vr[3])
{
    return vr_is_long(vr) ||
           dicom_vr_in(vr, "AE AS AT CS DA DS DT FD FL IS LO LT PN SH SL SS ST TM "
                           "UI UL US ");
}

static enum status item_head(struct dicom_parser *p, uint32_t tag, uint32_t length)
{
    struct level *in = top(p);
    p->event.tag = in->tag;
    p->event.length = length;
    p->event.offset = p->at;
    if (tag == DICOM_TAG(DELIMITER_GROUP, TAG_SEQUENCE_END) && in->delimited && length == 0) {
        end_level(p);
        end_full_levels(p);
        return STATUS_OK;
    }
    if (tag != DICOM_TAG(DELIMITER_GROUP, TAG_ITEM))
        return bad(p, "no item where one must be");
    if (in->kind == FRAGMENTS) {
        if (length == DICOM_UNDEFINED || length > in->end - p->at)
            return bad(p, "fragment without a length, or too long");
        tell(p, DICOM_FRAGMENT);
        p->fragment = true;
        begin_value(p, 0);
        return STATUS_OK;
    }
    enum status s = push_level(p, DATASET, length, in->implicit);
    if (s != STATUS_OK)
        return s;
    tell(p, DICOM_ITEM);
    end_full_levels(p);
    return STATUS_OK;
}

static enum status item_end(struct dicom_parser *p, uint32_t length)
{
    if (p->levels == 1 || !top(p)->delimited || length != 0)
        return bad(p, "item delimiter out of place");
    end_level(p);
    end_full_levels(p);
    return STATUS_OK;
}

/* In order, so that nothing is there twice: what is indexed is then what every reader sees. */
static enum status check_order(struct dicom_parser *p, uint32_t tag)
{
    struct level *in = top(p);
    if (!in->first && tag <= in->tag)
        return bad(p, "elements out of order");
    in->first = false;
    in->tag = tag;
    return STATUS_OK;
}

static enum status element(struct dicom_parser *p, bool implicit)
{
    struct dicom_event *e = &p->event;
    size_t keep = tell(p, DICOM_ELEMENT);
    bool sequence = dicom_vr_in(e->vr, "SQ ");
    bool bytes = dicom_vr_in(e->vr, "OB OD OF OL OV OW ");
    if (e->length != DICOM_UNDEFINED && e->length > top(p)->end - p->at)
        return bad(p, "longer than what it stands in");
    if (!sequence && e->length != DICOM_UNDEFINED) {
        begin_value(p, keep);
        return STATUS_OK;
    }
    if (p->in_meta) /* where it ends decides how all that follows is read */
        return bad(p, "sequence in the file meta group");
    enum status s = STATUS_OK;
    if (bytes)
        s = push_level(p, FRAGMENTS, e->length, implicit);
    else if (sequence || dicom_vr_in(e->vr, "UN "))
        s = begin_sequence(p, implicit || !sequence); /* PS3.5, 6.2.2, note 2 */
    else
        s = bad(p, "value without a length");
    if (s == STATUS_OK)
        end_full_levels(p);
    return s;
}

/* The head is whole: what is it of? */
static enum status take_head(struct dicom_parser *p)
{
    struct level *in = top(p);
    uint32_t group = le16(p->head), tag = DICOM_TAG(group, le16(p->head + 2));
    if (in->kind != DATASET)
        return item_head(p, tag, le32(p->head + 4));
    if (tag == DICOM_TAG(DELIMITER_GROUP, TAG_ITEM_END))
        return item_end(p, le32(p->head + 4));
    if (group == DELIMITER_GROUP)
        return bad(p, "item out of place");
    bool implicit = in->implicit;
    const struct dicom_entry *known = implicit ? dicom_by_tag(tag) : NULL;
    struct dicom_event *e = &p->event;
    memcpy(e->vr, implicit ? (known ? known->vr : "UN") : (const char *)p->head + 4, 2);
    if (!implicit && !vr_known(e->vr))
        return bad(p, "unknown VR");
    e->tag = tag;
    e->length = implicit        ? le32(p->head + 4)
                : p->need == 12 ? le32(p->head + 8)
                                : le16(p->head + 6);
    e->offset = p->at;
    enum status s = check_order(p, tag);
    return s == STATUS_OK ? element(p, implicit) : s;
}

/* The first 8 bytes are there: does the meta group end, are there 4 more? */
static enum status look_at_head(struct dicom_parser *p)
{
    uint32_t group = le16(p->head);
    if (p->in_meta && group != 2) {
        p->in_meta = false;
        top(p)->implicit = strcmp(p->syntax, "1.2.840.10008.1.2") == 0;
        if (refuse_syntax(p) != STATUS_OK)
            return p->status;
    }
    if (!p->in_meta && group == 2 && p->levels == 1)
        return bad(p, "file meta element in the data set");
    if (top(p)->kind == DATASET && !top(p)->implicit && group != DELIMITER_GROUP &&
        vr_is_long((const char *)p->head + 4))
        p->need = 12;
    return STATUS_OK;
}

/* --- bytes ----------------------------------------------------------------------------------- */

static size_t take_preamble(struct dicom_parser *p, const uint8_t *bytes, size_t len)
{
    static const uint8_t magic[] = {'D', 'I', 'C', 'M'};
    size_t n = 0;
    for (; n < len && p->have < PREAMBLE + 4; n++, p->have++)
        if (p->have >= PREAMBLE && bytes[n] != magic[p->have - PREAMBLE]) {
            bad(p, "not a DICOM file: no DICM at byte 128");
            return n;
        }
    p->at += n;
    if (p->have == PREAMBLE + 4)
        expect_head(p);
    return n;
}

static size_t take_head_bytes(struct dicom_parser *p, const uint8_t *bytes, size_t len)
{
    size_t n = p->need - p->have < len ? p->need - p->have : len;
    memcpy(p->head + p->have, bytes, n);
    p->have += n;
    p->at += n;
    if (p->at > top(p)->end)
        bad(p, "longer than what it stands in");
    else if (p->have == 8 && p->need == 8)
        look_at_head(p);
    if (p->status == STATUS_OK && p->have == p->need)
        take_head(p);
    return n;
}

static size_t take_value(struct dicom_parser *p, const uint8_t *bytes, size_t len)
{
    size_t n = p->left < len ? (size_t)p->left : len;
    size_t wanted = p->keep - p->kept.len;
    if (wanted > 0)
        strbuf_add(&p->kept, bytes, n < wanted ? n : wanted);
    p->at += n;
    p->left -= n;
    if (p->left == 0)
        end_value(p);
    return n;
}

struct dicom_parser *dicom_parser_new(dicom_tap *tap, void *ctx)
{
    struct dicom_parser *p = xcalloc(1, sizeof(*p));
    p->tap = tap;
    p->ctx = ctx;
    p->why = "";
    p->in_meta = true;
    p->event.path = p->path;
    p->levels = 1;
    p->level[0] = (struct level){DATASET, UINT64_MAX, true, false, 0, true};
    return p;
}

void dicom_parser_free(struct dicom_parser *p)
{
    if (!p)
        return;
    strbuf_release(&p->kept);
    free(p);
}

enum status dicom_push(struct dicom_parser *p, const uint8_t *bytes, size_t len)
{
    while (p->status == STATUS_OK && len > 0) {
        size_t n = p->state == IN_PREAMBLE ? take_preamble(p, bytes, len)
                   : p->state == IN_HEAD   ? take_head_bytes(p, bytes, len)
                                           : take_value(p, bytes, len);
        bytes += n;
        len -= n;
    }
    return p->status;
}

enum status dicom_finish(struct dicom_parser *p)
{
    if (p->status != STATUS_OK)
        return p->status;
    if (p->state == IN_PREAMBLE)
        return bad(p, "not a DICOM file: too short");
    if (p->state == IN_VALUE || p->have > 0 || p->levels > 1)
        return bad(p, "ends inside an element");
    return p->in_meta ? bad(p, "no data set") : STATUS_OK;
}

uint64_t dicom_skippable(const struct dicom_parser *p)
{
    bool skips = p->status == STATUS_OK && p->state == IN_VALUE && p->kept.len == p->keep;
    return skips ? p->left : 0;
}

void dicom_skip(struct dicom_parser *p, uint64_t n)
{
    p->at += n;
    p->left -= n;
    if (n > 0 && p->left == 0)
        end_value(p);
}

uint64_t dicom_position(const struct dicom_parser *p)
{
    return p->at;
}

const char *dicom_transfer_syntax(const struct dicom_parser *p)
{
    return p->in_meta ? "" : p->syntax;
}

const char *dicom_why(const struct dicom_parser *p)
{
    return p->why;
}
