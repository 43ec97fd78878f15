#include "dicom-vault_embed.h"
int main(void)
{
    return (int)dicom_vault_web.n;
}
