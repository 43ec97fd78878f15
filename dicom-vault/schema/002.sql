-- The audit log: a chain, each mac an HMAC over its entry and the mac before it. Nothing is ever
-- changed or removed; the triggers stop a slip, the chain shows the rest.
CREATE TABLE audit (
    seq INTEGER PRIMARY KEY,
    at_ms INTEGER NOT NULL,
    who TEXT NOT NULL,
    source TEXT NOT NULL,
    action TEXT NOT NULL,
    object BLOB NOT NULL,
    outcome TEXT NOT NULL,
    mac BLOB NOT NULL
) STRICT;

CREATE TRIGGER audit_changed BEFORE UPDATE ON audit
BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;
CREATE TRIGGER audit_removed BEFORE DELETE ON audit
BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END;

-- For `verify`: an object that was deleted must not be there again.
CREATE INDEX audit_deleted ON audit (object) WHERE action = 'delete' AND outcome = 'ok';
