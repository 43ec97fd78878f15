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

-- How far each user has read in each room.
CREATE TABLE markers (
    room TEXT NOT NULL,
    user TEXT NOT NULL,
    seq INTEGER NOT NULL,
    PRIMARY KEY (room, user)
) WITHOUT ROWID, STRICT;
