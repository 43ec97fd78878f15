#include "clock.h"
#include <stdio.h>
#include <time.h>

/* 0000-01-01 and 9999-12-31: what four digits of a year can say. */
static const int64_t first_ms = -62167219200000, last_ms = 253402300799999;

static int64_t read_us(clockid_t id)
{
    struct timespec ts;
    clock_gettime(id, &ts);
    return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

int64_t clock_mono_ms(void)
{
    return read_us(CLOCK_MONOTONIC) / 1000;
}

int64_t clock_mono_us(void)
{
    return read_us(CLOCK_MONOTONIC);
}

int64_t clock_unix_ms(void)
{
    return read_us(CLOCK_REALTIME) / 1000;
}

void clock_cond_init(pthread_cond_t *cond)
{
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(cond, &monotonic);
    pthread_condattr_destroy(&monotonic);
}

bool clock_cond_wait(pthread_cond_t *cond, pthread_mutex_t *lock, int64_t deadline_ms)
{
    struct timespec until = {deadline_ms / 1000, (long)(deadline_ms % 1000) * 1000000};
    return pthread_cond_timedwait(cond, lock, &until) == 0;
}

void rfc3339_format(int64_t unix_ms, char out[RFC3339_SIZE])
{
    unix_ms = unix_ms < first_ms ? first_ms : unix_ms > last_ms ? last_ms : unix_ms;
    int ms = (int)(unix_ms % 1000);
    if (ms < 0)
        ms += 1000;
    time_t seconds = (unix_ms - ms) / 1000;
    struct tm tm;
    gmtime_r(&seconds, &tm);
    char text[sizeof("-01-31T09:00:00")];
    strftime(text, sizeof(text), "-%m-%dT%H:%M:%S", &tm); /* %Y would not pad */
    snprintf(out, RFC3339_SIZE, "%04u%s.%03uZ", (unsigned)(tm.tm_year + 1900) % 10000, text,
             (unsigned)ms % 1000);
}

/* Take exactly `width` digits with a value in min..max. */
static bool take_number(const char **at, int width, int min, int max, int *out)
{
    int n = 0;
    for (int i = 0; i < width; i++) {
        char c = (*at)[i];
        if (c < '0' || c > '9')
            return false;
        n = n * 10 + (c - '0');
    }
    *at += width;
    *out = n;
    return n >= min && n <= max;
}

static bool take_char(const char **at, char c)
{
    if (**at != c)
        return false;
    (*at)++;
    return true;
}

/* RFC 3339 allows T and Z in lower case. */
static bool take_letter(const char **at, char upper)
{
    return take_char(at, upper) || take_char(at, (char)(upper | 0x20));
}

static bool take_fraction(const char **at, int *ms)
{
    *ms = 0;
    if (!take_char(at, '.'))
        return true;
    int digits = 0;
    for (; **at >= '0' && **at <= '9'; (*at)++, digits++)
        if (digits < 3)
            *ms = *ms * 10 + (**at - '0');
    for (int i = digits; i < 3; i++)
        *ms *= 10;
    return digits >= 1 && digits <= 9;
}

static bool take_offset(const char **at, int *minutes)
{
    *minutes = 0;
    if (take_letter(at, 'Z'))
        return true;
    int sign = **at == '-' ? -1 : 1, h, m;
    if (!take_char(at, '+') && !take_char(at, '-'))
        return false;
    if (!take_number(at, 2, 0, 23, &h) || !take_char(at, ':') || !take_number(at, 2, 0, 59, &m))
        return false;
    *minutes = sign * (h * 60 + m);
    return true;
}

static int days_in_month(int year, int month)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return month == 2 && leap ? 29 : days[month - 1];
}

static bool take_date(const char **at, struct tm *tm)
{
    int year, month;
    if (!take_number(at, 4, 0, 9999, &year) || !take_char(at, '-') ||
        !take_number(at, 2, 1, 12, &month) || !take_char(at, '-') ||
        !take_number(at, 2, 1, days_in_month(year, month), &tm->tm_mday))
        return false;
    tm->tm_year = year - 1900;
    tm->tm_mon = month - 1;
    return true;
}

static bool take_time(const char **at, struct tm *tm)
{
    return take_number(at, 2, 0, 23, &tm->tm_hour) && take_char(at, ':') &&
           take_number(at, 2, 0, 59, &tm->tm_min) && take_char(at, ':') &&
           take_number(at, 2, 0, 59, &tm->tm_sec);
}

enum status rfc3339_parse(const char *text, int64_t *unix_ms)
{
    struct tm tm = {0};
    int ms, offset;
    if (!take_date(&text, &tm) || !take_letter(&text, 'T') || !take_time(&text, &tm) ||
        !take_fraction(&text, &ms) || !take_offset(&text, &offset) || *text != '\0')
        return STATUS_BAD_REQUEST;
    *unix_ms = ((int64_t)timegm(&tm) - (int64_t)offset * 60) * 1000 + ms;
    return STATUS_OK;
}
