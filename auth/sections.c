#include "auth/sections.h"

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* Behind a comment that begins here, or at when there is none. */
static const char *skip_comment(const char *at)
{
    if (*at == '#' || (at[0] == '/' && at[1] == '/'))
        return at + strcspn(at, "\n");
    if (at[0] == '/' && at[1] == '*') {
        const char *end = strstr(at + 2, "*/");
        return end != NULL ? end + 2 : at + strlen(at);
    }
    return at;
}

/* Behind a quoted text that begins here. */
static const char *skip_quoted(const char *at)
{
    char quote = *at++;
    while (*at != '\0' && *at != quote)
        at += at[0] == '\\' && at[1] != '\0' ? 2 : 1;
    return *at != '\0' ? at + 1 : at;
}

static const char *skip_blank(const char *at)
{
    for (;;) {
        const char *next = skip_comment(at);
        if (next == at && !is_space(*at))
            return at;
        at = next == at ? at + 1 : next;
    }
}

static const char *skip_word(const char *at)
{
    if (*at == '"' || *at == '\'')
        return skip_quoted(at);
    while (*at != '\0' && !is_space(*at) && strchr("{}=\"'#,", *at) == NULL)
        at++;
    return at;
}

/* Behind a comment, a word (which may hold //), a quoted text, or one byte of anything else. */
static const char *skip_token(const char *at)
{
    const char *next = skip_comment(at);
    if (next == at)
        next = skip_word(at);
    return next != at ? next : at + 1;
}

/* Behind the brace that closes the one at. */
static const char *skip_braces(const char *at, bool *is_closed_out)
{
    int depth = 0;
    *is_closed_out = false;
    while (*at != '\0') {
        depth += (*at == '{') - (*at == '}');
        at = skip_token(at);
        if (depth == 0) {
            *is_closed_out = true;
            break;
        }
    }
    return at;
}

void sections_blank_comments(char *text)
{
    for (char *at = text; *at != '\0';) {
        char *next = at + (skip_token(at) - at);
        bool is_comment = skip_comment(at) != at;
        for (; at < next; at++) {
            if (is_comment && *at != '\n')
                *at = ' ';
        }
    }
}

static bool word_is(const char *at, const char *end, const char *text)
{
    if (at < end && (*at == '"' || *at == '\'')) {
        at++;
        end--;
    }
    return (size_t)(end - at) == strlen(text) && memcmp(at, text, strlen(text)) == 0;
}

bool section_find(const char *text, const char *kind, const char *title, const char **start_out,
                  const char **end_out)
{
    bool is_closed;
    const char *at = skip_blank(text);
    while (*at != '\0') {
        const char *start = at, *kind_end = skip_word(at);
        const char *name = skip_blank(kind_end), *name_end = skip_word(name);
        const char *brace = skip_blank(name_end);
        if (kind_end == at || *brace != '{')
            return false;
        const char *end = skip_braces(brace, &is_closed);
        if (word_is(start, kind_end, kind) && word_is(name, name_end, title)) {
            *start_out = start;
            *end_out = end;
            return true;
        }
        at = skip_blank(end);
    }
    return false;
}

bool section_is_closed(const char *text, unsigned *line_out)
{
    unsigned line = 1;
    const char *counted = text;
    for (const char *at = text, *next; *at != '\0'; at = next) {
        bool is_closed = true;
        next = *at == '{' ? skip_braces(at, &is_closed) : skip_token(at);
        if (is_closed)
            continue;
        for (; counted < at; counted++)
            line += *counted == '\n';
        *line_out = line;
        return false;
    }
    return true;
}
