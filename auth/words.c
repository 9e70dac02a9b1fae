#include "auth/auth.h"

const char *auth_event_word(enum auth_event_kind kind)
{
    static const char *const words[] = {
#define AUTH_EVENT(name, word) word,
#include "auth/events.def"
#undef AUTH_EVENT
    };
    MUST(kind < N_AUTH_EVENTS);
    return words[kind];
}

const char *auth_class_word(enum auth_class class)
{
    static const char *const words[] = {
#define CLASS(name, word, before, pending, after) word,
#include "auth/classes.def"
#undef CLASS
    };
    MUST(class < N_AUTH_CLASSES);
    return words[class];
}

const char *auth_offer_word(enum auth_offer offer)
{
    static const char *const words[] = {"offered", "hidden", "impossible"};
    MUST(offer <= AUTH_IMPOSSIBLE);
    return words[offer];
}
