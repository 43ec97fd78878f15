/* Object level: which rows a caller may reach. All of it is here; the table in routes.c says where
 * it applies. What is another's looks just like what does not exist: NOT_FOUND. */
#pragma once
#include "router.h"
#include <stdint.h>

http_handler teaches_course;  /* faculty, {course} */
http_handler teaches_session; /* faculty, {session} */
http_handler attends_session; /* a student enrolled in the course of {session} */
/* Faculty as teaches_course; an admin every course that there is. */
http_handler sees_course;

/* The {session} of the path; NOT_FOUND for what cannot be the id of one. */
enum status session_param(const struct http_request *req, int64_t *out);
