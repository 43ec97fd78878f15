/* Check-in in the database, by the database's clock, which all processes share. Worker threads
 * only. All return UNAVAILABLE when it is down and OVERLOADED when it is busy. */
#pragma once
#include "audit.h"
#include "changes.h"
#include "checkin_code.h"

struct check_in_wall {
    bool open;
    uint8_t key[CHECK_IN_KEY];           /* when open */
    int64_t starts_ms, now_ms, until_ms; /* Unix time */
    int64_t checked_in;                  /* students who have, themselves */
};
/* What the teacher shows. NOT_FOUND. */
enum status check_in_look(struct db *db, int64_t session, struct check_in_wall *out);
/* Open it for that long from now on; one that is open keeps its key. */
enum status check_in_open(struct db *db, int64_t session, int64_t minutes,
                          const struct audit_actor *by);
enum status check_in_close(struct db *db, int64_t session, const struct audit_actor *by);

struct check_in {
    int64_t session;
    const char *code, *account; /* the student's */
    struct audit_actor by;      /* the student */
    enum {
        CHECK_IN_DONE,
        CHECK_IN_ALREADY, /* by the student before: nothing has changed */
        CHECK_IN_MARKED,  /* by a teacher: it stays as it is */
        CHECK_IN_CLOSED,
        CHECK_IN_WRONG,
        CHECK_IN_BLOCKED, /* too many wrong codes */
    } outcome;
    enum mark mark;         /* of the first three */
    struct changes changes; /* out: what to publish; the caller's to release */
};
/* Attempts of one student follow each other, however many come at once. */
enum status check_in_try(struct db *db, struct check_in *attempt);

/* The open sessions of a student's courses, to `rows`. */
enum status check_in_offers(struct db *db, int64_t student, json_t *rows);
