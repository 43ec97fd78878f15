-- Rows of the audit log are only ever added; this holds against the program, too. A MySQL server with
-- a binary log wants log_bin_trust_function_creators for a trigger. It is the one statement of its
-- file: where it is refused nothing has happened, and it is tried again.
CREATE TRIGGER audit_log_stays BEFORE UPDATE ON audit_log
    FOR EACH ROW SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'the audit log is append-only';
