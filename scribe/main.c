#include "scribe_embed.h"
int main(void)
{
    return (int)scribe_web.n;
}
