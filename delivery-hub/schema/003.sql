-- InnoDB shows a commit to others before it is on disk, so what was read can still be lost to a
-- crash. Who must not act on that writes here first: once such a write is committed, so is all that
-- was visible before it, since the log is one. Sixteen rows, so that few wait for each other.
CREATE TABLE barrier (
    id INT NOT NULL,
    passed BIGINT NOT NULL,
    PRIMARY KEY (id)
) ENGINE = InnoDB;

INSERT INTO barrier VALUES (0, 0), (1, 0), (2, 0), (3, 0), (4, 0), (5, 0), (6, 0), (7, 0), (8, 0),
    (9, 0), (10, 0), (11, 0), (12, 0), (13, 0), (14, 0), (15, 0);
