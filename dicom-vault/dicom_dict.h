/* The part of the data dictionary (PS3.6) that is needed: VRs of what implicit VR files are likely
 * to hold, and keywords for queries. Any thread. */
#pragma once
#include <stdint.h>

struct dicom_entry {
    uint32_t tag;
    char vr[3];
    const char *keyword;
};

/* NULL when it is not one of these. */
const struct dicom_entry *dicom_by_tag(uint32_t tag);
const struct dicom_entry *dicom_by_keyword(const char *keyword);
