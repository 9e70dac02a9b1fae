#include "auth/instant.h"

#include "base/number.h"

#include <stdio.h>
#include <time.h>

static bool digits(struct slice text, size_t at, size_t n, int *out)
{
    uint64_t value;
    if (!number_parse_u64(slice_of(text.p + at, n), 9999, &value))
        return false;
    *out = (int)value;
    return true;
}

/* Every place of the pattern that is no '0' must be equal in the text. */
static bool looks_like(struct slice text, const char *pattern)
{
    if (text.n != strlen(pattern))
        return false;
    for (size_t i = 0; i < text.n; i++) {
        if (pattern[i] != '0' && pattern[i] != (char)text.p[i])
            return false;
    }
    return true;
}

bool instant_parse(struct slice text, int64_t *unix_s_out)
{
    struct tm tm = {0}, again;
    bool is_day = looks_like(text, "0000-00-00");
    if (!is_day && !looks_like(text, "0000-00-00T00:00:00Z"))
        return false;
    if (!digits(text, 0, 4, &tm.tm_year) || !digits(text, 5, 2, &tm.tm_mon) ||
        !digits(text, 8, 2, &tm.tm_mday))
        return false;
    if (!is_day && (!digits(text, 11, 2, &tm.tm_hour) || !digits(text, 14, 2, &tm.tm_min) ||
                    !digits(text, 17, 2, &tm.tm_sec)))
        return false;
    tm.tm_year -= 1900;
    tm.tm_mon -= 1;
    again = tm;
    time_t when = timegm(&again);
    /* timegm corrects the 31st of February silently: what it corrected was no date. */
    if (when < 0 || again.tm_year != tm.tm_year || again.tm_mon != tm.tm_mon ||
        again.tm_mday != tm.tm_mday || again.tm_hour != tm.tm_hour || again.tm_min != tm.tm_min ||
        again.tm_sec != tm.tm_sec)
        return false;
    *unix_s_out = (int64_t)when;
    return true;
}

void instant_format(int64_t unix_s, char *out)
{
    struct tm tm;
    time_t when = (time_t)unix_s;
    gmtime_r(&when, &tm);
    if (strftime(out, INSTANT_TEXT_MAX, "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
        out[0] = '\0';
}
