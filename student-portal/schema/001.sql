-- People, what is taught, who was there. Times are UTC. The character set is said, since a server's
-- own may be latin1, which has no place for most names.

CREATE TABLE users (
    id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
    account VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    name VARCHAR(200) NOT NULL,
    password_hash VARCHAR(128) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    role ENUM('student', 'faculty', 'admin') NOT NULL,
    disabled BOOLEAN NOT NULL DEFAULT FALSE,
    -- Every login session carries the value it was made under: advancing it ends them all.
    session_gen BIGINT NOT NULL DEFAULT 1,
    -- Advanced in the transaction of every change to what the student's attendance shows.
    attendance_gen BIGINT NOT NULL DEFAULT 1,
    UNIQUE KEY account (account)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4;

CREATE TABLE courses (
    id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
    code VARCHAR(32) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    title VARCHAR(200) NOT NULL,
    teacher_id BIGINT NOT NULL,
    UNIQUE KEY code (code),
    KEY teacher (teacher_id),
    FOREIGN KEY (teacher_id) REFERENCES users (id)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4;

CREATE TABLE enrolments (
    student_id BIGINT NOT NULL,
    course_id BIGINT NOT NULL,
    PRIMARY KEY (student_id, course_id),
    KEY course (course_id, student_id),
    FOREIGN KEY (student_id) REFERENCES users (id),
    FOREIGN KEY (course_id) REFERENCES courses (id)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4;

-- A lecture, a seminar: what one attends. (The sessions of logins live in Redis.)
CREATE TABLE class_sessions (
    id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
    course_id BIGINT NOT NULL,
    starts_at DATETIME NOT NULL,
    KEY course (course_id, starts_at),
    FOREIGN KEY (course_id) REFERENCES courses (id)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4;

-- One row a session and student: marking twice changes it, with who and when.
CREATE TABLE attendance (
    session_id BIGINT NOT NULL,
    student_id BIGINT NOT NULL,
    mark ENUM('present', 'late', 'absent', 'excused') NOT NULL,
    marked_by BIGINT NOT NULL,
    marked_at DATETIME(3) NOT NULL,
    PRIMARY KEY (session_id, student_id),
    KEY student (student_id, session_id),
    FOREIGN KEY (session_id) REFERENCES class_sessions (id),
    FOREIGN KEY (student_id) REFERENCES users (id),
    FOREIGN KEY (marked_by) REFERENCES users (id)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4;
