#include "routes.h"
#include "access.h"
#include "handlers.h"
#include "upload.h"
#include "user.h"
#include <stdio.h>

#define SELF NULL /* only what is the caller's own can be named */

const struct route portal_routes[] = {
    /* method, pattern, who may, object check, where it runs, handler */
    {GET, "/", ANYONE, NULL, INLINE, get_page, NULL},
    {GET, "/portal.js", ANYONE, NULL, INLINE, get_page, NULL},
    {GET, "/ui.js", ANYONE, NULL, INLINE, get_page, NULL},
    {GET, "/student.js", ANYONE, NULL, INLINE, get_page, NULL},
    {GET, "/faculty.js", ANYONE, NULL, INLINE, get_page, NULL},
    {GET, "/admin.js", ANYONE, NULL, INLINE, get_page, NULL},
    {GET, "/portal.css", ANYONE, NULL, INLINE, get_page, NULL},
    {GET, "/openapi.json", ANYONE, NULL, INLINE, get_page, NULL},

    {POST, "/login", ANYONE, NULL, BLOCKING, post_login, NULL},
    {POST, "/logout", STUDENT | FACULTY | ADMIN, SELF, BLOCKING, post_logout, NULL},
    {POST, "/password", STUDENT | FACULTY | ADMIN, SELF, BLOCKING, post_password, NULL},
    {GET, "/me", STUDENT | FACULTY | ADMIN, SELF, BLOCKING, get_me, NULL},

    {GET, "/me/attendance", STUDENT, SELF, INLINE_OR_POOL, get_own_attendance, NULL},
    {GET, "/me/attendance/{course}", STUDENT, SELF, BLOCKING, get_own_course, NULL},
    {GET, "/me/check-ins", STUDENT, SELF, BLOCKING, get_own_check_ins, NULL},
    {POST, "/sessions/{session}/check-in", STUDENT, attends_session, BLOCKING, post_check_in, NULL},

    {GET, "/sessions/{session}/check-in", FACULTY, teaches_session, BLOCKING, get_check_in, NULL},
    {PUT, "/sessions/{session}/check-in", FACULTY, teaches_session, BLOCKING, put_check_in, NULL},
    {DELETE, "/sessions/{session}/check-in", FACULTY, teaches_session, BLOCKING, delete_check_in,
     NULL},
    {GET, "/sessions/{session}/attendance", FACULTY, teaches_session, BLOCKING,
     get_session_attendance, NULL},
    {PUT, "/sessions/{session}/attendance", FACULTY, teaches_session, BLOCKING, put_class, &upload},
    {PUT, "/sessions/{session}/attendance/{student}", FACULTY, teaches_session, BLOCKING,
     put_attendance, NULL},
    {DELETE, "/sessions/{session}", FACULTY, teaches_session, BLOCKING, delete_session, NULL},
    {GET, "/courses/{course}/sessions", FACULTY, teaches_course, BLOCKING, get_course_sessions,
     NULL},
    {POST, "/courses/{course}/sessions", FACULTY, teaches_course, BLOCKING, post_session, NULL},
    {GET, "/courses/{course}/report", FACULTY, teaches_course, BLOCKING, get_report, NULL},
    {GET, "/courses/{course}/report.csv", FACULTY, teaches_course, BLOCKING, get_report_csv, NULL},

    {GET, "/courses", FACULTY | ADMIN, SELF, BLOCKING, get_courses, NULL},
    {GET, "/courses/{course}/students", FACULTY | ADMIN, sees_course, BLOCKING, get_course_students,
     NULL},
    {PUT, "/courses/{course}/students/{student}", ADMIN, NULL, BLOCKING, put_enrolment, NULL},
    {DELETE, "/courses/{course}/students/{student}", ADMIN, NULL, BLOCKING, delete_enrolment, NULL},
    {PUT, "/courses/{course}", ADMIN, NULL, BLOCKING, put_course, NULL},

    {GET, "/users", ADMIN, NULL, BLOCKING, get_users, NULL},
    {GET, "/users/{user}", ADMIN, NULL, BLOCKING, get_user, NULL},
    {PUT, "/users/{user}", ADMIN, NULL, BLOCKING, put_user, NULL},
    {PATCH, "/users/{user}", ADMIN, NULL, BLOCKING, patch_user, NULL},
    {POST, "/users/{user}/password-reset", ADMIN, NULL, BLOCKING, post_password_reset, NULL},
    {POST, "/imports", ADMIN, NULL, BLOCKING, post_import, &upload},
    {GET, "/audit", ADMIN, NULL, BLOCKING, get_audit, NULL},
    {GET, "/dashboard", ADMIN, NULL, BLOCKING, get_dashboard, NULL},
};
const size_t portal_route_count = sizeof(portal_routes) / sizeof(portal_routes[0]);

static void print_roles(roles who)
{
    static const struct {
        roles bit;
        const char *name;
    } names[] = {{ANYONE, "anyone"}, {STUDENT, "student"}, {FACULTY, "faculty"}, {ADMIN, "admin"}};
    const char *separator = "";
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (who & names[i].bit) {
            printf("%s%s", separator, names[i].name);
            separator = "|";
        }
}

void routes_print(void)
{
    static const char *const methods[] = {
        [GET] = "GET", [POST] = "POST", [PUT] = "PUT", [PATCH] = "PATCH", [DELETE] = "DELETE"};
    static const char *const runs[] = {
        [INLINE] = "inline", [BLOCKING] = "blocking", [INLINE_OR_POOL] = "inline-or-pool"};
    for (size_t i = 0; i < portal_route_count; i++) {
        const struct route *r = &portal_routes[i];
        printf("%s %s ", methods[r->method], r->pattern);
        print_roles(r->who);
        printf(" %s %s\n", r->visible ? "object" : "-", runs[r->run]);
    }
}
