/* Changing the keys that wrap data keys, by a command beside the running server: no payload is
 * touched and reads go on. Each step is one write transaction, with its audit entry, so that
 * commands exclude each other and a crash leaves nothing half done; what is left of a step is taken
 * up when the command runs again. All block; reasons in `why`. */
#pragma once
#include "store.h"

/* A new key, which wraps from now on: into the keyring's file first, then into the index. CONFLICT
 * when the keyring is full, or older than the index. */
enum status rekey_rotate(struct store *s, const struct audit_by *by, uint32_t *key_id,
                         struct strbuf *why);
/* Wrap every data key under the newest key. *done counts those it wrapped, *bad the ones that open
 * under no key, which stay as they are. */
enum status rekey_rewrap(struct store *s, const struct audit_by *by, uint64_t *done, uint64_t *bad,
                         struct strbuf *why);
/* Take a key out of the keyring. CONFLICT for the newest, for one that the index does not know
 * yet, and while an object is wrapped under it; NOT_FOUND. */
enum status rekey_retire(struct store *s, const struct audit_by *by, uint32_t key_id,
                         struct strbuf *why);
/* Delete the object so that its key is nowhere in the vault's files: the row and, in SQLite's log,
 * what it was before. *complete only when the key that wrapped its key, and all older ones, are
 * retired too: until then a backup, or a page of the disk that was not overwritten, may hold what
 * opens it. May be asked again later, and of what was deleted before. UNAVAILABLE when
 * the payload could not be unlinked; CONTENDED when readers hold SQLite's log; NOT_FOUND. */
enum status rekey_shred(struct store *s, const struct audit_by *by, const uint8_t id[OBJECT_ID],
                        uint32_t *key_id, bool *complete, struct strbuf *why);
