-- Which vault this index is of: no other keyring may sweep its blobs.
CREATE TABLE vault (id BLOB NOT NULL) STRICT;

-- `sealed` says everything about an object; only what the server must know before it has the
-- object's key stands beside it. A rewrap changes key_id and wrapped_key alone.
CREATE TABLE objects (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id BLOB NOT NULL UNIQUE,
    key_id INTEGER NOT NULL,
    wrapped_key BLOB NOT NULL,
    sealed BLOB NOT NULL
) STRICT;

-- `verifier` is an HMAC over id, scopes and secret: a row written by anybody else opens nothing.
CREATE TABLE api_keys (
    id BLOB PRIMARY KEY,
    scopes INTEGER NOT NULL,
    verifier BLOB NOT NULL
) STRICT, WITHOUT ROWID;
