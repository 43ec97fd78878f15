-- The wrapping keys, of which the newest wraps. `reserved` counts the wraps that were handed out, in
-- blocks, so that a crash never repeats one.
CREATE TABLE wrapping_keys (
    id INTEGER PRIMARY KEY,
    reserved INTEGER NOT NULL
) STRICT;
INSERT INTO wrapping_keys SELECT key_id, COUNT(*) FROM objects GROUP BY key_id;

CREATE INDEX objects_key ON objects (key_id);

-- Objects that were shredded, and the key that wrapped theirs: while that key lives, a copy of the
-- disk may still hold what opens them.
CREATE TABLE shredded (
    object BLOB PRIMARY KEY,
    key_id INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
