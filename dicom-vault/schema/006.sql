-- Every object that was deleted or shredded, for good: the key that wrapped its key (while that one
-- lives, a copy of the disk may still hold what opens it), and whether its blob is unlinked.
CREATE TABLE deleted (
    object BLOB PRIMARY KEY,
    key_id INTEGER NOT NULL,
    unlinked INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO deleted SELECT object, key_id, 0 FROM shredded;
DROP TABLE shredded;
CREATE INDEX deleted_left ON deleted (object) WHERE unlinked = 0;
CREATE TRIGGER deleted_row AFTER DELETE ON objects
BEGIN INSERT OR REPLACE INTO deleted VALUES (OLD.id, OLD.key_id, 0); END;

-- `verify` reads the whole log, since a partial index may be another one than it says.
DROP INDEX audit_deleted;
