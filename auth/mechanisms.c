#include "auth/mechanisms.h"

static const struct {
    const char *name;
    const char *alias;
    const char *package;
    enum mechanism_kind kind;
    bool is_default;
} rows[] = {
#define MECHANISM(id, name, kind, is_default, alias, package) \
    {name, alias, package, MECHANISM_KIND_##kind, is_default},
#include "auth/mechanisms.def"
#undef MECHANISM
};

_Static_assert(N_MECHANISMS <= 32, "a set has 32 bits");

const char *mechanism_name(enum mechanism mechanism)
{
    MUST(mechanism < N_MECHANISMS);
    return rows[mechanism].name;
}

const char *mechanism_package(enum mechanism mechanism)
{
    MUST(mechanism < N_MECHANISMS);
    return rows[mechanism].package;
}

enum mechanism_kind mechanism_kind(enum mechanism mechanism)
{
    MUST(mechanism < N_MECHANISMS);
    return rows[mechanism].kind;
}

bool mechanism_is_plus(enum mechanism mechanism)
{
    return mechanism == MECHANISM_SCRAM_SHA_512_PLUS || mechanism == MECHANISM_SCRAM_SHA_256_PLUS ||
           mechanism == MECHANISM_SCRAM_SHA_1_PLUS;
}

enum verifier_hash mechanism_hash(enum mechanism mechanism)
{
    MUST(mechanism_kind(mechanism) == MECHANISM_KIND_SCRAM);
    if (mechanism == MECHANISM_SCRAM_SHA_512 || mechanism == MECHANISM_SCRAM_SHA_512_PLUS)
        return VERIFIER_SHA_512;
    if (mechanism == MECHANISM_SCRAM_SHA_256 || mechanism == MECHANISM_SCRAM_SHA_256_PLUS)
        return VERIFIER_SHA_256;
    return VERIFIER_SHA_1;
}

bool mechanism_find(struct slice name, enum mechanism *mechanism_out, bool *is_alias_out)
{
    for (unsigned i = 0; i < N_MECHANISMS; i++) {
        bool is_alias = name.n > 0 && slice_is(name, rows[i].alias);
        if (!is_alias && !slice_is(name, rows[i].name))
            continue;
        *mechanism_out = (enum mechanism)i;
        *is_alias_out = is_alias;
        return true;
    }
    return false;
}

uint32_t mechanisms_default(void)
{
    uint32_t set = 0;
    for (unsigned i = 0; i < N_MECHANISMS; i++) {
        if (rows[i].is_default)
            set |= MECHANISM_BIT(i);
    }
    return set;
}

/* An operator's list may be in lower case; the wire may not. */
static size_t upper_word(const char *at, char *out)
{
    size_t n = strcspn(at, " ,\t");
    for (size_t i = 0; i < n && i < AUTH_MECHANISM_MAX; i++)
        out[i] = at[i] >= 'a' && at[i] <= 'z' ? (char)(at[i] - 'a' + 'A') : at[i];
    out[n < AUTH_MECHANISM_MAX ? n : AUTH_MECHANISM_MAX] = '\0';
    return n;
}

uint32_t mechanisms_parse(const char *list, unsigned *n_unknown_out,
                          char unknown_out[AUTH_MECHANISM_MAX + 1])
{
    uint32_t set = 0;
    *n_unknown_out = 0;
    for (const char *at = list; *at != '\0';) {
        char word[AUTH_MECHANISM_MAX + 1];
        enum mechanism mechanism;
        bool is_alias;
        size_t n = upper_word(at, word);
        at += n > 0 ? n : 1;
        if (n == 0)
            continue;
        if (!mechanism_find(slice_str(word), &mechanism, &is_alias)) {
            if ((*n_unknown_out)++ == 0)
                memcpy(unknown_out, word, sizeof word);
            continue;
        }
        set |= MECHANISM_BIT(mechanism);
        if (mechanism_kind(mechanism) == MECHANISM_KIND_SCRAM && !mechanism_is_plus(mechanism)) {
            MUST(mechanism > 0);
            set |= MECHANISM_BIT(mechanism - 1);
        }
    }
    return set;
}

_Static_assert(MECHANISM_SCRAM_SHA_512_PLUS + 1 == MECHANISM_SCRAM_SHA_512 &&
                   MECHANISM_SCRAM_SHA_256_PLUS + 1 == MECHANISM_SCRAM_SHA_256 &&
                   MECHANISM_SCRAM_SHA_1_PLUS + 1 == MECHANISM_SCRAM_SHA_1,
               "a -PLUS row stands before its mechanism");

enum mechanism_obstacle mechanism_obstacle(enum mechanism mechanism,
                                           const struct mechanism_facts *facts)
{
    uint32_t bit = MECHANISM_BIT(mechanism);
    enum mechanism_kind kind = mechanism_kind(mechanism);
    if ((facts->allowed & bit) == 0)
        return OBSTACLE_NOT_ALLOWED;
    if ((facts->installed & bit) == 0)
        return OBSTACLE_NOT_INSTALLED;
    if ((facts->provable & bit) == 0)
        return OBSTACLE_NO_SECRET;
    if (kind == MECHANISM_KIND_PLAIN && !facts->is_private && !facts->is_plain_allowed)
        return OBSTACLE_CLEAR_TEXT;
    if (mechanism_is_plus(mechanism) && !facts->has_binding)
        return OBSTACLE_NO_BINDING;
    if (kind == MECHANISM_KIND_EXTERNAL && !facts->has_identity)
        return OBSTACLE_NO_IDENTITY;
    return OBSTACLE_NONE;
}
