/* The text of a student's attendance: the body of GET /me/attendance. Any thread. */
#pragma once
#include "attendance_db.h"
#include "strbuf.h"

/* Append {"courses": [...]}. */
void page_write(struct strbuf *out, const struct attendance_page *page);
/* Append one course's object; false when the student is not enrolled in a course of that code. */
bool page_write_course(struct strbuf *out, const struct attendance_page *page, const char *course);
