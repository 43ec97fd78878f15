-- A term's worth of attendance for the demo. Everybody's password is demo-password; they share
-- one Argon2id hash (m=19456 KiB, t=2, p=1), made once with the argon2 command or argon2-cffi.

SET @hash = '$argon2id$v=19$m=19456,t=2,p=1$h5w4VOraGTysWzH91jAvqw$prs9Xr+wHJE7t7olKxpaDSO+LgDO9HP7BdaKVRmhXaY';

INSERT INTO users (id, account, name, password_hash, role) VALUES
    (1, 'ana', 'Ana Silva', @hash, 'student'),
    (2, 'ben', 'Ben Okafor', @hash, 'student'),
    (3, 'frank', 'Frank Weiss', @hash, 'faculty'),
    (4, 'alma', 'Alma Berg', @hash, 'admin'),
    (5, 'fiona', 'Fiona Reyes', @hash, 'faculty');

INSERT INTO courses (id, code, title, teacher_id) VALUES
    (1, 'cs101', 'Programming in C', 3),
    (2, 'cs205', 'Operating Systems', 3),
    (3, 'ma110', 'Linear Algebra', 5);

INSERT INTO enrolments (student_id, course_id) VALUES (1, 1), (1, 2), (1, 3), (2, 1), (2, 3);

-- Twelve weekly sessions a course, the last one today at nine; marked are all but the last.
INSERT INTO class_sessions (id, course_id, starts_at)
    WITH RECURSIVE weeks (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM weeks WHERE n < 11)
    SELECT (c.id - 1) * 12 + weeks.n + 1, c.id,
           UTC_DATE() + INTERVAL 9 HOUR - INTERVAL 11 - weeks.n WEEK
    FROM courses c CROSS JOIN weeks;

-- Ana misses every fourth session of Operating Systems and comes late now and then.
INSERT INTO attendance (session_id, student_id, mark, marked_by, marked_at)
    SELECT s.id, e.student_id,
           CASE WHEN s.course_id = 2 AND s.id % 4 = 0 THEN 'absent'
                WHEN s.id % 7 = e.student_id THEN 'late'
                WHEN s.id % 11 = 0 THEN 'excused'
                ELSE 'present' END,
           c.teacher_id, s.starts_at + INTERVAL 10 MINUTE
    FROM class_sessions s
    JOIN courses c ON c.id = s.course_id
    JOIN enrolments e ON e.course_id = s.course_id
    WHERE s.id % 12 <> 0;
