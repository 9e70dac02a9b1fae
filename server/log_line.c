#include "server/log_line.h"

#include <time.h>

#include "base/number.h"

/* Room for a line; what does not fit is cut, the newline always fits. */
struct line {
    char *p;
    size_t n;
};

static void put(struct line *line, const char *p, size_t n)
{
    size_t room = LOG_LINE_MAX - 1 - line->n;
    if (n > room)
        n = room;
    memcpy(line->p + line->n, p, n);
    line->n += n;
}

/* Puts all of it or nothing: half an escape would change the meaning. */
static bool put_whole(struct line *line, const char *p, size_t n)
{
    if (n > LOG_LINE_MAX - 2 - line->n)
        return false;
    put(line, p, n);
    return true;
}

static bool is_bare(uint8_t byte)
{
    return (byte >= '0' && byte <= '9') || (byte >= 'a' && byte <= 'z') ||
           (byte >= 'A' && byte <= 'Z') || (byte != 0 && strchr("._:/@+-[]", byte) != NULL);
}

static bool is_bare_text(struct slice text)
{
    for (size_t i = 0; i < text.n; i++)
        if (!is_bare(text.p[i]))
            return false;
    return text.n > 0;
}

static bool put_escaped(struct line *line, uint8_t byte)
{
    static const char digits[] = "0123456789abcdef";
    char plain = (char)byte;
    if (byte == '"' || byte == '\\')
        return put_whole(line, (char[]){'\\', plain}, 2);
    if (byte == '\n')
        return put_whole(line, "\\n", 2);
    if (byte == '\r')
        return put_whole(line, "\\r", 2);
    if (byte == '\t')
        return put_whole(line, "\\t", 2);
    if (byte >= ' ' && byte < 0x7f)
        return put_whole(line, &plain, 1);
    return put_whole(line, (char[]){'\\', 'x', digits[byte >> 4], digits[byte & 15]}, 4);
}

static void put_quoted(struct line *line, struct slice text)
{
    if (LOG_LINE_MAX - 1 - line->n < 2)
        return;
    put(line, "\"", 1);
    for (size_t i = 0; i < text.n; i++)
        if (!put_escaped(line, text.p[i]))
            break;
    put(line, "\"", 1);
}

static void put_text(struct line *line, struct slice text)
{
    bool is_cut = text.n > LOG_VALUE_MAX;
    if (is_cut)
        text.n = LOG_VALUE_MAX;
    if (is_bare_text(text))
        put(line, (const char *)text.p, text.n);
    else
        put_quoted(line, text);
    if (is_cut)
        put(line, "...", 3);
}

static void put_number(struct line *line, uint64_t number)
{
    uint8_t digits[NUMBER_U64_MAX_DIGITS];
    put(line, (const char *)digits, number_render_u64(digits, number));
}

/* n digits, with zeros before them. */
static void stamp_digits(char *out, size_t n, int64_t number)
{
    for (; n > 0; number /= 10)
        out[--n] = (char)('0' + number % 10);
}

void log_line_stamp(int64_t wall_ms, char out[LOG_TIME_SIZE])
{
    struct tm parts;
    time_t seconds = (time_t)(wall_ms / 1000);
    gmtime_r(&seconds, &parts);
    memcpy(out, "time=yyyy-mm-ddThh:mm:ss.mmmZ ", LOG_TIME_SIZE);
    stamp_digits(out + 5, 4, parts.tm_year + 1900);
    stamp_digits(out + 10, 2, parts.tm_mon + 1);
    stamp_digits(out + 13, 2, parts.tm_mday);
    stamp_digits(out + 16, 2, parts.tm_hour);
    stamp_digits(out + 19, 2, parts.tm_min);
    stamp_digits(out + 22, 2, parts.tm_sec);
    stamp_digits(out + 25, 3, wall_ms % 1000);
}

size_t log_line_render(enum log_level level, const char *event, const struct log_field *fields,
                       int64_t wall_ms, char *out)
{
    static const char *const words[] = {
        [LOG_LEVEL_ERROR] = "error", [LOG_LEVEL_WARNING] = "warning", [LOG_LEVEL_NOTICE] = "notice",
        [LOG_LEVEL_DEBUG] = "debug", [LOG_LEVEL_TRACE] = "trace",
    };
    struct line line = {out, LOG_TIME_SIZE};
    log_line_stamp(wall_ms, out);
    put(&line, "level=", 6);
    put(&line, words[level], strlen(words[level]));
    return log_line_words(out, line.n, event, fields);
}

size_t log_line_words(char *out, size_t n, const char *event, const struct log_field *fields)
{
    struct line line = {out, n};
    put(&line, " event=", 7);
    put_text(&line, slice_str(event));
    for (const struct log_field *field = fields; field->name; field++) {
        put(&line, " ", 1);
        put(&line, field->name, strlen(field->name));
        put(&line, "=", 1);
        if (field->is_number)
            put_number(&line, field->number);
        else
            put_text(&line, field->text);
    }
    out[line.n++] = '\n';
    return line.n;
}
