/* The history off the loop: two threads, one that writes and one that reads, each with a
 * connection and a bounded queue. The writer takes everything that queued during its last write
 * in one transaction where the store has them. The reader never waits for a lock that the writer,
 * or another process, holds. Both keep trying while the store is down. */
#pragma once
#include "frame.h"
#include "history.h"
#include "mailbox.h"
#include "sequence.h"

struct history_worker;

enum job_kind {
    JOB_APPEND,
    JOB_MARK,
    JOB_CREATE,
    JOB_INVITE,
    JOB_REMOVE,
    JOB_FIRST_JOIN, /* what becomes of a JOB_JOIN that has to write */
    JOB_WRITES,     /* up to here it is the writer's, from here on the reader's */
    JOB_JOIN = JOB_WRITES,
    JOB_PAGE,
    JOB_HEADS,
    JOB_MEMBERS,
    JOB_ROOMS,
    JOB_KINDS
};

enum { HEADS_PER_JOB = 100, ROOMS_PER_JOB = 100 };

/* A question to the history, and its answer. */
struct job {
    struct mail mail; /* first: how the answer comes back */
    enum job_kind kind;
    void *owner; /* the asker's, untouched */

    char room[NAME_MAX_LEN + 1], user[NAME_MAX_LEN + 1], client_id[NAME_MAX_LEN + 1];
    char *text;                   /* append */
    char other[NAME_MAX_LEN + 1]; /* invite, remove: whom; rooms: those after this one */
    bool private;                 /* create */
    int64_t seq;                  /* mark */
    int64_t after, before, limit; /* page, as page_query; join: the client's `after` */
    struct room_head *heads;      /* heads, raised in place */
    size_t head_count;
    char (*users)[NAME_MAX_LEN + 1]; /* members: these users of the room */
    size_t user_count;

    enum status status;
    struct entry entry;           /* append: seq, duplicate */
    struct membership membership; /* join; mark: its marker; invite, remove: its version */
    struct membership *rooms;     /* rooms */
    size_t room_count;
    bool *are;             /* members: is users[i] one */
    struct frame **frames; /* append: the message, unless duplicate; page: ascending */
    size_t frame_count;
    int64_t first_seq; /* page: of frames[0] */
};

struct job *job_new(enum job_kind kind, const char *room, void (*answer)(void *, struct mail *));
void job_free(struct job *job); /* with what is in it, but not the owner */

/* Picks the driver by the URL's scheme. Every job comes back through `mailbox`, once. */
enum status history_worker_new(const char *url, size_t queue_max, struct mailbox *mailbox,
                               struct history_worker **out, struct strbuf *why);
/* Answers what is queued with UNAVAILABLE, lets running calls end and joins; NULL is fine. False
 * when a call hangs in the store too long: its thread still runs, so end by _exit. */
bool history_worker_free(struct history_worker *w);
/* OK: the job is the worker's until it comes back. UNAVAILABLE while the store is down and
 * OVERLOADED when the queue is full: it is still the caller's. Any thread; does not block. */
enum status history_submit(struct history_worker *w, struct job *job);
/* Do messages wait to be stored, or are being stored? Any thread. */
bool history_writing(struct history_worker *w);
bool history_health(void *worker, struct strbuf *why); /* a health_check */
