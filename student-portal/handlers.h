/* The handlers that the table in routes.c names; the object checks are in access.h. */
#pragma once
#include "router.h"

http_handler post_login, post_logout, post_password, get_me;    /* login.c */
http_handler get_own_attendance, get_own_course;                /* student.c */
http_handler get_own_check_ins, post_check_in;                  /* checkin.c */
http_handler get_check_in, put_check_in, delete_check_in;       /* checkin.c */
http_handler get_session_attendance, put_attendance, put_class; /* faculty.c */
http_handler get_report, get_report_csv;                        /* report.c */
http_handler get_courses, put_course, get_course_students;      /* courses.c */
http_handler put_enrolment, delete_enrolment;                   /* courses.c */
http_handler get_course_sessions, post_session, delete_session; /* courses.c */
http_handler get_users, get_user, put_user, patch_user;         /* admin.c */
http_handler post_password_reset, get_audit;                    /* admin.c */
http_handler post_import;                                       /* imports.c */
http_handler get_dashboard;                                     /* dashboard.c */
http_handler get_page;                                          /* pages.c */
