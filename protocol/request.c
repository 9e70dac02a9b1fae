#include "protocol/request.h"

#include "base/must.h"

static const char *const verb_names[N_VERBS] = {
#define VERB(name, class, value) [VERB_##name] = #name,
#include "protocol/verbs.def"
#undef VERB
};

const uint8_t verb_classes[N_VERBS] = {
#define VERB(name, class, value) [VERB_##name] = CLASS_##class,
#include "protocol/verbs.def"
#undef VERB
};

const bool verb_takes[N_VERBS] = {
#define VERB(name, class, value) [VERB_##name] = value,
#include "protocol/verbs.def"
#undef VERB
};

const char *verb_name(enum verb verb)
{
    MUST((unsigned)verb < N_VERBS);
    return verb_names[verb];
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
