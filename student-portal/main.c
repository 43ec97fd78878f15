#include "student-portal_embed.h"
int main(void)
{
    return (int)student_portal_web.n;
}
