-- Everybody's password is "demo-password"; they share one hash made with argon2-cffi. fay's course
-- and its session 13 are what frank does not teach; cara is in that course only, dan in none.
SET @hash = '$argon2id$v=19$m=19456,t=2,p=1$cG9ydGFsLWRlbW8tc2FsdA$rH+xxI0nHZBmEJI3wCVgA5oiw+6qtzp5LMd28cZx/bM';
INSERT INTO users (id, account, name, password_hash, role) VALUES
    (1, 'ana', 'Ana Alvarez', @hash, 'student'),
    (2, 'ben', 'Ben Brandt', @hash, 'student'),
    (3, 'frank', 'Frank Fischer', @hash, 'faculty'),
    (4, 'alma', 'Alma Andersson', @hash, 'admin'),
    (5, 'fay', 'Fay Foster', @hash, 'faculty'),
    (6, 'cara', 'Cara Costa', @hash, 'student'),
    (7, 'aldo', 'Aldo Adler', @hash, 'admin'),
    (8, 'dan', 'Dan Dahl', @hash, 'student');
INSERT INTO courses (id, code, title, teacher_id) VALUES
    (1, 'cs101', 'Operating Systems', 3),
    (2, 'ma201', 'Linear Algebra', 3),
    (3, 'ph301', 'Optics', 5);
INSERT INTO enrolments (student_id, course_id) VALUES (1, 1), (1, 2), (2, 1), (6, 3);
INSERT INTO class_sessions (id, course_id, starts_at) VALUES
    (1, 1, '2026-01-05 09:00:00'), (2, 1, '2026-01-07 09:00:00'), (3, 1, '2026-01-12 09:00:00'),
    (4, 1, '2026-01-14 09:00:00'), (5, 1, '2026-01-19 09:00:00'), (6, 1, '2026-01-21 09:00:00'),
    (7, 2, '2026-01-06 11:00:00'), (8, 2, '2026-01-08 11:00:00'), (9, 2, '2026-01-13 11:00:00'),
    (10, 2, '2026-01-15 11:00:00'), (11, 2, '2026-01-20 11:00:00'), (12, 2, '2026-01-22 11:00:00'),
    (13, 3, '2026-01-09 09:00:00');
INSERT INTO attendance (session_id, student_id, mark, marked_by, marked_at) VALUES
    (1, 1, 'present', 3, '2026-01-05 09:05:00'), (2, 1, 'late', 3, '2026-01-07 09:20:00'),
    (3, 1, 'present', 3, '2026-01-12 09:05:00'), (4, 1, 'absent', 3, '2026-01-14 09:05:00'),
    (1, 2, 'present', 3, '2026-01-05 09:05:00'), (2, 2, 'absent', 3, '2026-01-07 09:05:00'),
    (3, 2, 'absent', 3, '2026-01-12 09:05:00'), (4, 2, 'excused', 3, '2026-01-14 09:05:00'),
    (7, 1, 'present', 3, '2026-01-06 11:05:00'), (8, 1, 'present', 3, '2026-01-08 11:05:00'),
    (9, 1, 'absent', 3, '2026-01-13 11:05:00'), (10, 1, 'absent', 3, '2026-01-15 11:05:00');
