/* The one vocabulary of failure: every function that can fail returns an enum status.
 *
 * STATUS(NAME, http, slug, title): `http` is the reply code, `slug` the stable last part of a
 * problem's `type` (RFC 9457), `title` the text for a person. A failure is logged once, where
 * it is turned into a reply. */
#pragma once

#define STATUS_LIST(STATUS)                                                                        \
    STATUS(OK, 200, "ok", "OK")                                                                    \
    STATUS(BAD_REQUEST, 400, "bad-request", "The request is malformed")                            \
    STATUS(UNAUTHENTICATED, 401, "unauthenticated", "Valid credentials are required")              \
    STATUS(FORBIDDEN, 403, "forbidden", "Not allowed")                                             \
    STATUS(NOT_FOUND, 404, "not-found", "No such resource")                                        \
    STATUS(METHOD_NOT_ALLOWED, 405, "method-not-allowed", "The resource has no such method")       \
    STATUS(NOT_ACCEPTABLE, 406, "not-acceptable", "No acceptable representation")                  \
    STATUS(REQUEST_TIMEOUT, 408, "request-timeout", "The request took too long to arrive")         \
    STATUS(CONFLICT, 409, "conflict", "The resource's state does not allow this")                  \
    STATUS(LENGTH_REQUIRED, 411, "length-required", "The request needs a length")                  \
    STATUS(PRECONDITION_FAILED, 412, "precondition-failed", "A precondition does not hold")        \
    STATUS(TOO_LARGE, 413, "too-large", "The request body is too large")                           \
    STATUS(UNSUPPORTED_MEDIA, 415, "unsupported-media-type", "The media type is not supported")    \
    STATUS(RANGE_NOT_SATISFIABLE, 416, "range-not-satisfiable", "No byte in that range")           \
    STATUS(UNPROCESSABLE, 422, "unprocessable", "The request is well-formed but not valid")        \
    STATUS(PRECONDITION_REQUIRED, 428, "precondition-required", "A precondition is missing")       \
    STATUS(RATE_LIMITED, 429, "rate-limited", "Too many requests")                                 \
    STATUS(HEADERS_TOO_LARGE, 431, "headers-too-large", "The request's headers are too large")     \
    STATUS(INTERNAL, 500, "internal", "Something failed on the server")                            \
    STATUS(CORRUPT, 500, "corrupt", "Stored bytes failed their authentication")                    \
    STATUS(OVERLOADED, 503, "overloaded", "The server is busy; try again")                         \
    STATUS(UNAVAILABLE, 503, "unavailable", "A store this needs is down; try again")               \
    STATUS(TIMEOUT, 503, "timeout", "The deadline passed; try again")                              \
    STATUS(OUTCOME_UNKNOWN, 503, "outcome-unknown", "The outcome is not known; ask before acting") \
    STATUS(STORAGE_FULL, 507, "storage-full", "There is no room left")                             \
    /* Inside the program only; a reply that shows one of these is a bug and becomes a 500. */     \
    STATUS(DUPLICATE, 500, "duplicate", "A unique key is already taken")                           \
    STATUS(CONTENDED, 500, "contended", "A lock was not granted or a transaction lost; retry")     \
    STATUS(NEEDS_POOL, 500, "needs-pool", "Not answerable from memory: run on the pool")

enum status {
#define STATUS(name, http, slug, title) STATUS_##name,
    STATUS_LIST(STATUS)
#undef STATUS
        STATUS_COUNT
};

/* All three take any value of the enum (anything else is treated as INTERNAL); the strings are
 * static. Any thread. */
int status_http(enum status s);
const char *status_slug(enum status s);
const char *status_title(enum status s);
