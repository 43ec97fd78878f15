-- Who did what to whom, when, from where.
CREATE TABLE audit_log (
    id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
    at DATETIME(3) NOT NULL,
    actor_id BIGINT NOT NULL,
    action VARCHAR(32) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    subject VARCHAR(128) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    detail VARCHAR(255) NOT NULL,
    address VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    KEY actor (actor_id),
    FOREIGN KEY (actor_id) REFERENCES users (id)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4;

-- Check-in is open while there is a key, until that time.
ALTER TABLE class_sessions
    ADD COLUMN check_in_key BINARY(32) NULL,
    ADD COLUMN check_in_until DATETIME(3) NULL;

-- Wrong codes: a code of six digits stands only while few of them can be tried.
CREATE TABLE check_in_failures (
    session_id BIGINT NOT NULL,
    student_id BIGINT NOT NULL,
    failures INT NOT NULL,
    PRIMARY KEY (session_id, student_id),
    FOREIGN KEY (session_id) REFERENCES class_sessions (id) ON DELETE CASCADE,
    FOREIGN KEY (student_id) REFERENCES users (id)
) ENGINE = InnoDB;
