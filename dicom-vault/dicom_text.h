/* Texts of DICOM values (PS3.5, 6.1 and 6.2) as UTF-8. Any thread. */
#pragma once
#include "strbuf.h"
#include <stdbool.h>
#include <stdint.h>

/* What is decoded: ISO_IR 6, 100 and 192. Of any other character set the ASCII part is. */
enum dicom_charset { CHARSET_ASCII, CHARSET_LATIN1, CHARSET_UTF8 };

/* By the value of SpecificCharacterSet (0008,0005). */
enum dicom_charset dicom_charset(const uint8_t *value, size_t len);
/* Append the value as UTF-8, without the blanks and NULs that pad it. What cannot be decoded
 * becomes U+FFFD, and so does a control character; with `multiline`, tab, line feed, form feed and
 * carriage return stay. */
void dicom_text(enum dicom_charset set, const uint8_t *value, size_t len, bool multiline,
                struct strbuf *out);
/* Append a person's name, UTF-8, as it is compared: the alphabetic group alone, upper case (ASCII
 * and Latin-1), blanks at the ends of components and empty components at the end dropped, runs of
 * blanks made one. */
void dicom_name_normalise(const char *name, size_t len, struct strbuf *out);
/* True for 1 to 64 digits and dots: the only characters of a UID. */
bool dicom_uid_valid(const char *uid);
