#include "protocol.h"
#include "clock.h"
#include "json.h"
#include "token.h"
#include <string.h>

enum field_id { TOKEN, ROOM, USER, PRIVATE, ID, TEXT, AFTER, BEFORE, SEQ, LIMIT, FIELDS };
#define BIT(f) (1U << (f))
enum { MESSAGE_MEMBERS = 384 }; /* bytes of a message besides its text, at most */

enum field_kind { NAME, TEXT_LINES, OPAQUE, NUMBER, FLAG };

static const struct field {
    const char *name;
    enum field_kind kind;
    int64_t min, max; /* bytes of a string, value of a number */
    size_t offset;    /* in struct request */
} fields[FIELDS] = {
    [TOKEN] = {"token", OPAQUE, 1, TOKEN_MAX, offsetof(struct request, token)},
    [ROOM] = {"room", NAME, 1, NAME_MAX_LEN, offsetof(struct request, room)},
    [USER] = {"user", NAME, 1, NAME_MAX_LEN, offsetof(struct request, user)},
    [PRIVATE] = {"private", FLAG, 0, 1, offsetof(struct request, private)},
    [ID] = {"id", NAME, 1, NAME_MAX_LEN, offsetof(struct request, id)},
    [TEXT] = {"text", TEXT_LINES, 1, TEXT_MAX, offsetof(struct request, text)},
    [AFTER] = {"after", NUMBER, 0, SEQ_MAX, offsetof(struct request, after)},
    [BEFORE] = {"before", NUMBER, 1, SEQ_MAX, offsetof(struct request, before)},
    [SEQ] = {"seq", NUMBER, 0, SEQ_MAX, offsetof(struct request, seq)},
    [LIMIT] = {"limit", NUMBER, 1, PAGE_MAX, offsetof(struct request, limit)},
};

/* Every message of a client. */
static const struct shape {
    const char *type;
    unsigned required, optional;
} shapes[REQUEST_TYPES] = {
    [REQUEST_HELLO] = {"hello", BIT(TOKEN), 0},
    [REQUEST_CREATE] = {"create", BIT(ROOM), BIT(PRIVATE)},
    [REQUEST_INVITE] = {"invite", BIT(ROOM) | BIT(USER), 0},
    [REQUEST_REMOVE] = {"remove", BIT(ROOM) | BIT(USER), 0},
    [REQUEST_JOIN] = {"join", BIT(ROOM), BIT(AFTER)},
    [REQUEST_LEAVE] = {"leave", BIT(ROOM), 0},
    [REQUEST_SEND] = {"send", BIT(ROOM) | BIT(ID) | BIT(TEXT), 0},
    [REQUEST_HISTORY] = {"history", BIT(ROOM), BIT(AFTER) | BIT(BEFORE) | BIT(LIMIT)},
    [REQUEST_READ] = {"read", BIT(ROOM) | BIT(SEQ), 0},
    [REQUEST_ROOMS] = {"rooms", 0, BIT(ROOM)},
    [REQUEST_PRESENCE] = {"presence", BIT(ROOM), 0},
    [REQUEST_TYPING] = {"typing", BIT(ROOM), 0},
    [REQUEST_PING] = {"ping", 0, BIT(ID)},
};

static bool string_valid(const struct field *f, const json_t *value)
{
    const char *s = json_string_value(value);
    if (!s)
        return false;
    if (f->kind == NAME)
        return name_valid(s, (size_t)f->max);
    return text_valid(s, json_string_length(value), (size_t)f->min, (size_t)f->max,
                      f->kind == TEXT_LINES);
}

static bool take_field(struct request *r, const struct field *f, const json_t *value)
{
    char *into = (char *)r + f->offset;
    if (f->kind == NUMBER) {
        json_int_t n = json_integer_value(value);
        if (!json_is_integer(value) || n < f->min || n > f->max)
            return false;
        memcpy(into, &(int64_t){n}, sizeof(int64_t));
        return true;
    }
    if (f->kind == FLAG) {
        memcpy(into, &(bool){json_is_true(value)}, sizeof(bool));
        return json_is_boolean(value);
    }
    if (!string_valid(f, value))
        return false;
    memcpy(into, &(const char *){json_string_value(value)}, sizeof(const char *));
    return true;
}

static enum status take_type(struct request *r, struct strbuf *why)
{
    const char *type = json_string_value(json_object_get(r->root, "type"));
    for (size_t i = 0; type && i < REQUEST_TYPES; i++)
        if (strcmp(type, shapes[i].type) == 0)
            r->type = (enum request_type)i;
    if (r->type != REQUEST_TYPES)
        return STATUS_OK;
    strbuf_addstr(why, type ? "unknown type" : "type is missing or no string");
    return STATUS_UNPROCESSABLE;
}

/* Every field that is right is taken, also when another one is wrong. */
static enum status take_fields(struct request *r, struct strbuf *why)
{
    const struct shape *shape = &shapes[r->type];
    size_t known = 1; /* type */
    enum status status = STATUS_OK;
    for (unsigned i = 0; i < FIELDS; i++) {
        const json_t *value = json_object_get(r->root, fields[i].name);
        bool may = ((shape->required | shape->optional) & BIT(i)) != 0;
        bool must = (shape->required & BIT(i)) != 0;
        if (value && may)
            known++;
        if (value && may ? take_field(r, &fields[i], value) : !must)
            continue;
        if (status == STATUS_OK)
            strbuf_addf(why, "%s is %s", fields[i].name, value ? "not valid" : "missing");
        status = STATUS_UNPROCESSABLE;
    }
    if (status == STATUS_OK && json_object_size(r->root) != known) {
        strbuf_addstr(why, "unknown field");
        status = STATUS_UNPROCESSABLE;
    }
    return status;
}

enum status request_parse(const char *bytes, size_t len, struct request *out, struct strbuf *why)
{
    *out =
        (struct request){.type = REQUEST_TYPES, .after = -1, .before = -1, .seq = -1, .limit = -1};
    json_t *root = NULL;
    enum status status = json_parse(bytes, len, &root, why);
    out->root = root;
    if (status != STATUS_OK)
        return status;
    if (!json_is_object(root)) {
        strbuf_addstr(why, "not a JSON object");
        return STATUS_BAD_REQUEST;
    }
    status = take_type(out, why);
    return status == STATUS_OK ? take_fields(out, why) : status;
}

void request_release(struct request *r)
{
    json_decref(r->root);
    r->root = NULL;
}

const char *request_name(enum request_type type)
{
    return type < REQUEST_TYPES ? shapes[type].type : NULL;
}

struct frame *message_frame(const struct message *m)
{
    char at[RFC3339_SIZE];
    rfc3339_format(m->at_ms, at);
    struct strbuf text = STRBUF_INIT;
    strbuf_reserve(&text, MESSAGE_MEMBERS + strlen(m->text));
    strbuf_addf(
        &text,
        "{\"type\":\"message\",\"seq\":%lld,\"room\":\"%s\",\"sender\":\"%s\",\"id\":\"%s\","
        "\"at\":\"%s\",\"text\":",
        (long long)m->seq, m->room, m->sender, m->client_id, at);
    json_write_text(&text, m->text);
    strbuf_addch(&text, '}');
    struct frame *f = frame_new(text.bytes, text.len);
    strbuf_release(&text);
    return f;
}
