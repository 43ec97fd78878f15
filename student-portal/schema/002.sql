-- What was committed and perhaps not yet told to the caches: written with the change, deleted once
-- Redis has it. Whoever finds an old row tells it again.
CREATE TABLE pending_invalidations (
    student_id BIGINT NOT NULL PRIMARY KEY,
    gen BIGINT NOT NULL,
    noted_at DATETIME(3) NOT NULL
) ENGINE = InnoDB;

-- A student's marks from the index alone.
ALTER TABLE attendance
    ADD KEY of_student (student_id, session_id, mark),
    DROP KEY student;
