/* A person and what they are. Any thread. */
#pragma once
#include "router.h"
#include "status.h"
#include <stdbool.h>
#include <stdint.h>

enum { STUDENT = 1, FACULTY = 2, ADMIN = 4 };
enum { ACCOUNT_MAX = 64 };

struct user {
    int64_t id;
    char account[ACCOUNT_MAX + 1]; /* what they log in with, and their id to the outside */
    char name[801];                /* UTF-8 */
    roles role;                    /* one of the bits above */
    bool disabled;
    int64_t session_gen;    /* sessions made under another one are over */
    int64_t attendance_gen; /* no answer older than this may be given */
};

/* "student", "faculty", "admin"; NULL for anything but exactly one of the bits. Static. */
const char *role_name(roles role);
/* UNPROCESSABLE for any other word. */
enum status role_parse(const char *name, roles *out);
