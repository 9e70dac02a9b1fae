#include "protocol/request.h"

#include "base/must.h"

struct verb_row {
    const char *name;
    enum command_class class;
    bool takes_value;
};

static const struct verb_row verb_rows[N_VERBS] = {
#define VERB(name, class, value) [VERB_##name] = {#name, CLASS_##class, value},
#include "protocol/verbs.def"
#undef VERB
};

static const struct verb_row *row_of(enum verb verb)
{
    MUST((unsigned)verb < N_VERBS);
    return &verb_rows[verb];
}

const char *verb_name(enum verb verb)
{
    return row_of(verb)->name;
}

enum command_class verb_class(enum verb verb)
{
    return row_of(verb)->class;
}

bool verb_takes_value(enum verb verb)
{
    return row_of(verb)->takes_value;
}

/* The next word of *rest; *rest moves behind it. */
static struct slice next_word(struct slice *rest)
{
    size_t at = 0;
    while (at < rest->n && rest->p[at] == ' ')
        at++;
    size_t start = at;
    while (at < rest->n && rest->p[at] != ' ')
        at++;
    struct slice word = slice_of(rest->p + start, at - start);
    *rest = slice_of(rest->p + at, rest->n - at);
    return word;
}

struct slice request_arg(const struct request *request, unsigned index)
{
    struct slice rest = request->args;
    struct slice word = next_word(&rest);
    while (index-- > 0 && word.n > 0)
        word = next_word(&rest);
    return word;
}

unsigned request_n_args(const struct request *request)
{
    struct slice rest = request->args;
    unsigned n = 0;
    while (next_word(&rest).n > 0)
        n++;
    return n;
}
