/* A command: one write of the API in one transaction, carried out at most once for an
 * Idempotency-Key.
 *
 * With a client's key the transaction first inserts the key's record. A second copy of the request
 * waits for the first one there, finds the record and gets the recorded answer. The answer is
 * recorded in the transaction that does the work: either both are committed or neither. Answers
 * are recorded when they are final: the order, or a refusal decided by its state; never a failure.
 *
 * Without one the command gets a key of its own, and only what changed something is recorded,
 * last. So when the answer to a COMMIT is lost, both kinds can be run again in the same way: the
 * insert of the record waits for what became of the first transaction, and then either meets its
 * record or does the work. */
#pragma once
#include "db.h"
#include "reply.h"

enum { IDEMPOTENCY_KEY_MAX = 128, IDEMPOTENCY_HOURS = 24 };

struct command {
    const char *caller;
    const char *key;     /* the client's, or NULL */
    uint8_t request[32]; /* SHA-256 of what is asked: the same key for something else is refused */
    /* Does the work and makes the reply, a refusal too. Anything but OK rolls back. Runs again
     * when the transaction does. */
    enum status (*work)(struct db_conn *c, struct command *cmd);
    void *arg;
    struct reply reply; /* {0}; after OK the answer. The caller releases reply.body */
    bool replayed;      /* after OK: the reply is what was recorded, at an earlier time */

    char own_key[40]; /* of command.c: the key that is used when the client has none */
    bool unsure;      /* a COMMIT was not answered */
};

/* OK: the reply is to be sent, its effects are durable. Otherwise as db_transaction; a lost answer
 * to COMMIT is OUTCOME_UNKNOWN only when it could not be cleared up within COMMAND_RERUN_MS. */
enum { COMMAND_RERUN_MS = 3000 };
enum status command_run(struct db *db, struct command *cmd);
/* Printable ASCII without blanks, 1 to IDEMPOTENCY_KEY_MAX characters. */
bool command_key_valid(const char *key);
/* Delete a batch of records older than IDEMPOTENCY_HOURS. True when there may be more. */
bool command_sweep(void *db);
