CREATE TABLE messages (
    room TEXT NOT NULL,
    seq INTEGER NOT NULL,
    sender TEXT NOT NULL,
    client_id TEXT NOT NULL,
    at_ms INTEGER NOT NULL,
    text TEXT NOT NULL,
    PRIMARY KEY (room, seq),
    UNIQUE (room, sender, client_id)
) WITHOUT ROWID, STRICT;

-- `version` goes up whenever somebody is invited or removed.
CREATE TABLE rooms (
    room TEXT NOT NULL PRIMARY KEY,
    private INTEGER NOT NULL,
    owner TEXT NOT NULL,
    version INTEGER NOT NULL
) WITHOUT ROWID, STRICT;

-- `seq`: how far the user has read; -1: invited, and not joined yet. A removed user's row stays.
CREATE TABLE members (
    room TEXT NOT NULL,
    user TEXT NOT NULL,
    seq INTEGER NOT NULL,
    removed INTEGER NOT NULL,
    PRIMARY KEY (room, user)
) WITHOUT ROWID, STRICT;
CREATE INDEX members_by_user ON members (user, room);
