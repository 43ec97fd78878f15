#include "delivery-hub_embed.h"
int main(void)
{
    return (int)delivery_hub_web.n;
}
