-- Bytes that a payload takes on disk, which the disk shows anyway; their sum is held to the quota.
ALTER TABLE objects ADD COLUMN stored INTEGER NOT NULL DEFAULT 0;
CREATE TABLE usage (stored INTEGER NOT NULL) STRICT;
INSERT INTO usage VALUES (0);
CREATE TRIGGER usage_more AFTER INSERT ON objects
BEGIN UPDATE usage SET stored = stored + NEW.stored; END;
CREATE TRIGGER usage_less AFTER DELETE ON objects
BEGIN UPDATE usage SET stored = stored - OLD.stored; END;

-- Equality search without the values: each tag is an HMAC of a field's name and value.
CREATE TABLE blind (
    tag BLOB NOT NULL,
    object BLOB NOT NULL REFERENCES objects (id) ON DELETE CASCADE,
    PRIMARY KEY (tag, object)
) STRICT, WITHOUT ROWID;
CREATE INDEX blind_object ON blind (object);

-- What was stored under an Idempotency-Key; `tag` is an HMAC of caller and key.
CREATE TABLE once (
    tag BLOB PRIMARY KEY,
    object BLOB NOT NULL UNIQUE REFERENCES objects (id) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;
