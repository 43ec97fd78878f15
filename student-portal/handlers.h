/* The handlers and object checks that the table in routes.c names. */
#pragma once
#include "router.h"

http_handler post_login, post_logout, get_me;        /* login.c */
http_handler get_own_attendance, get_own_course;     /* student.c */
http_handler get_courses, get_course_sessions;       /* faculty.c */
http_handler get_session_attendance, put_attendance; /* faculty.c */
http_handler teaches_course, teaches_session;        /* faculty.c, object checks */
http_handler get_users, patch_user;                  /* admin.c */
http_handler get_page;                               /* pages.c */
