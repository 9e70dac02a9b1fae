/* One random request, written in text or meta and in binary: both must parse to the same
 * struct request in all that the two dialects share. */
#include "base/number.h"
#include "t/fuzz/requests.h"

#include <stdio.h>
#include <string.h>

#define WIRE_MAX 1024

enum { QUIET = 1, COMPARES = 2, TOUCHES = 4, VIVIFIES = 8 };

struct wanted {
    uint8_t form; /* which line of forms[] */
    uint8_t how;  /* QUIET, COMPARES, TOUCHES, VIVIFIES */
    uint8_t n_key;
    uint8_t key[KEY_MAX];
    uint32_t client_flags;
    uint32_t exptime;
    uint32_t n_value;
    uint64_t cas;
    uint64_t delta;
    uint64_t initial;
};

struct form {
    const char *text; /* what the tokens of write_text stand for is told there */
    uint8_t opcode;
    uint8_t opcode_quiet;
    uint8_t n_extras;
    bool has_key;
    uint8_t how;    /* what of wanted.how this form can say */
    uint8_t always; /* what it says in any case */
};

/* %k key, %f flags, %e exptime, %n bytes, %c cas, %d delta, %j initial; a part in parentheses is
 * there when the bit of the letter before it is set: Q quiet, C compares, T touches, V vivifies. */
static const struct form forms[] = {
    {"gets %k", 0x00, 0x00, 0, true, 0, 0},
    {"gats %e %k", 0x1d, 0x1d, 4, true, 0, TOUCHES},
    {"set %k %f %e %nQ( noreply)", 0x01, 0x11, 8, true, QUIET, 0},
    {"add %k %f %e %nQ( noreply)", 0x02, 0x12, 8, true, QUIET, 0},
    {"replace %k %f %e %nQ( noreply)", 0x03, 0x13, 8, true, QUIET, 0},
    {"cas %k %f %e %n %cQ( noreply)", 0x01, 0x11, 8, true, QUIET, COMPARES},
    {"append %k 0 0 %nQ( noreply)", 0x0e, 0x19, 0, true, QUIET, 0},
    {"prepend %k 0 0 %nQ( noreply)", 0x0f, 0x1a, 0, true, QUIET, 0},
    {"incr %k %dQ( noreply)", 0x05, 0x15, 20, true, QUIET, 0},
    {"decr %k %dQ( noreply)", 0x06, 0x16, 20, true, QUIET, 0},
    {"delete %kQ( noreply)", 0x04, 0x14, 0, true, QUIET, 0},
    {"touch %k %e", 0x1c, 0x1c, 4, true, 0, 0},
    {"flush_all %eQ( noreply)", 0x08, 0x18, 4, false, QUIET, 0},
    {"version", 0x0b, 0x0b, 0, false, 0, 0},
    {"mn", 0x0a, 0x0a, 0, false, 0, 0},
    {"mg %k v cT( T%e)", 0x00, 0x00, 0, true, 0, 0},
    {"mg %k T%e c v", 0x1d, 0x1d, 4, true, 0, TOUCHES},
    {"ms %k %n F%f T%eC( C%c)Q( q)", 0x01, 0x11, 8, true, QUIET | COMPARES, 0},
    {"ms %k %n MEQ( q) T%e F%f", 0x02, 0x12, 8, true, QUIET, 0},
    {"ms %k %n Q(q )MR F%f T%e", 0x03, 0x13, 8, true, QUIET, 0},
    {"ms %k %n MAC( C%c)Q( q)", 0x0e, 0x19, 0, true, QUIET | COMPARES, 0},
    {"ms %k %n MPC( C%c)Q( q)", 0x0f, 0x1a, 0, true, QUIET | COMPARES, 0},
    {"md %kC( C%c)Q( q)", 0x04, 0x14, 0, true, QUIET | COMPARES, 0},
    {"ma %k D%dC( C%c)V( N%e J%j)Q( q)", 0x05, 0x15, 20, true, QUIET | COMPARES | VIVIFIES, 0},
    {"ma %k MD D%dC( C%c)V( J%j N%e)Q( q)", 0x06, 0x16, 20, true, QUIET | COMPARES | VIVIFIES, 0},
};

#define N_FORMS (sizeof forms / sizeof *forms)

struct taker {
    const uint8_t *p;
    size_t n;
};

/* The next bytes of the input as a number; zeros behind its end. */
static uint64_t take(struct taker *taker, size_t n)
{
    uint64_t value = 0;
    while (n-- > 0) {
        value <<= 8;
        if (taker->n > 0) {
            value |= *taker->p++;
            taker->n--;
        }
    }
    return value;
}

/* A byte that may stand in a text key. */
static uint8_t text_byte(uint64_t byte)
{
    return byte > ' ' ? (uint8_t)byte : (uint8_t)(byte + 'a');
}

static struct wanted take_wanted(struct taker *taker)
{
    struct wanted wanted = {
        .form = (uint8_t)(take(taker, 1) % N_FORMS),
        .how = (uint8_t)take(taker, 1),
        .client_flags = (uint32_t)take(taker, 4),
        .exptime = (uint32_t)take(taker, 4) & INT32_MAX,
        .n_value = (uint32_t)take(taker, 3),
        .cas = take(taker, 8),
        .delta = take(taker, 8),
        .initial = take(taker, 8),
        .n_key = (uint8_t)(take(taker, 1) % KEY_MAX + 1),
    };
    if (wanted.cas == 0)
        wanted.cas = 1;
    const struct form *form = &forms[wanted.form];
    wanted.how = (uint8_t)((wanted.how & form->how) | form->always);
    for (unsigned i = 0; i < wanted.n_key; i++)
        wanted.key[i] = text_byte(take(taker, 1));
    return wanted;
}

static size_t write_field(char letter, const struct wanted *wanted, uint8_t *out)
{
    switch (letter) {
    case 'f':
        return number_render_u64(out, wanted->client_flags);
    case 'e':
        return number_render_u64(out, wanted->exptime);
    case 'n':
        return number_render_u64(out, wanted->n_value);
    case 'c':
        return number_render_u64(out, wanted->cas);
    case 'd':
        return number_render_u64(out, wanted->delta);
    case 'j':
        return number_render_u64(out, wanted->initial);
    default:
        memcpy(out, wanted->key, wanted->n_key);
        return wanted->n_key;
    }
}

static uint8_t bit_of(char letter)
{
    return letter == 'Q' ? QUIET : letter == 'C' ? COMPARES : letter == 'T' ? TOUCHES : VIVIFIES;
}

static size_t write_text(const struct wanted *wanted, uint8_t *out)
{
    size_t n = 0;
    for (const char *at = forms[wanted->form].text; *at != '\0'; at++) {
        if (*at == '%') {
            n += write_field(*++at, wanted, out + n);
        } else if (at[1] == '(') {
            if (wanted->how & bit_of(*at))
                at++;
            else
                at = strchr(at, ')');
        } else if (*at != ')') {
            out[n++] = (uint8_t)*at;
        }
    }
    memcpy(out + n, "\r\n", 2);
    return n + 2;
}

static void write_extras(const struct form *form, const struct wanted *wanted, uint8_t *out)
{
    if (form->n_extras == 4)
        store_be32(out, wanted->exptime);
    if (form->n_extras == 8) {
        store_be32(out, wanted->client_flags);
        store_be32(out + 4, wanted->exptime);
    }
    if (form->n_extras == 20) {
        store_be64(out, wanted->delta);
        store_be64(out + 8, wanted->initial);
        store_be32(out + 16, (wanted->how & VIVIFIES) ? wanted->exptime : UINT32_MAX);
    }
}

static size_t write_binary(const struct wanted *wanted, bool has_value, uint8_t *out)
{
    const struct form *form = &forms[wanted->form];
    size_t n_key = form->has_key ? wanted->n_key : 0;
    memset(out, 0, BINARY_HEADER);
    out[0] = 0x80;
    out[1] = (wanted->how & QUIET) ? form->opcode_quiet : form->opcode;
    store_be16(out + 2, (uint16_t)n_key);
    out[4] = form->n_extras;
    store_be32(out + 8, (uint32_t)(form->n_extras + n_key) + (has_value ? wanted->n_value : 0));
    store_be64(out + 16, (wanted->how & COMPARES) ? wanted->cas : 0);
    write_extras(form, wanted, out + BINARY_HEADER);
    memcpy(out + BINARY_HEADER + form->n_extras, wanted->key, n_key);
    return BINARY_HEADER + form->n_extras + n_key;
}

static struct request parse_one(enum protocol protocol, const uint8_t *p, size_t n)
{
    struct parser parser;
    struct request request;
    size_t n_consumed;
    parser_init(&parser, protocol);
    HOLDS(parse_request(&parser, p, n, &request, &n_consumed) == PARSE_OK);
    HOLDS(n_consumed == n);
    return request;
}

static void check_same(const struct request *text, const struct request *binary)
{
    const uint32_t shared = DO_CAS | DO_VIVIFY | WANT_VALUE;
    HOLDS(text->verb == binary->verb);
    HOLDS(text->is_quiet == binary->is_quiet);
    HOLDS(text->closes == binary->closes);
    HOLDS((text->does & shared) == (binary->does & shared));
    HOLDS(slice_equal(text->key, binary->key));
    HOLDS(text->client_flags == binary->client_flags);
    HOLDS(text->exptime == binary->exptime);
    HOLDS(text->n_value == binary->n_value);
    HOLDS(text->delta == binary->delta);
    if (text->verb == VERB_GET || text->verb == VERB_TOUCH)
        HOLDS((text->does & DO_TOUCH) == (binary->does & DO_TOUCH));
    if (text->does & DO_CAS)
        HOLDS(text->cas == binary->cas);
    if (text->does & DO_VIVIFY)
        HOLDS(text->vivify_exptime == binary->vivify_exptime && text->initial == binary->initial);
}

/* The header that the encoder writes is one that the parser reads back. */
static void check_round_trip(const struct request *binary)
{
    static uint8_t out[ENCODE_HEAD_MAX];
    if (binary->verb != VERB_GET)
        return;
    struct request asked = *binary;
    asked.opcode = 0x0c;
    asked.does |= WANT_KEY;
    struct reply reply = {.status = STATUS_MISS};
    asked.is_quiet = false;
    size_t n = encode_head(&asked, &reply, out);
    HOLDS(n == BINARY_HEADER + asked.key.n && out[0] == 0x81);
    out[0] = 0x80;
    struct request back = parse_one(PROTOCOL_BINARY, out, n);
    HOLDS(back.verb == VERB_GET && back.opaque == asked.opaque);
    HOLDS(slice_equal(back.key, asked.key));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static uint8_t text_bytes[WIRE_MAX], binary_bytes[WIRE_MAX];
    struct taker taker = {data, n};
    struct wanted wanted = take_wanted(&taker);
    if (wanted.n_key == 7 && memcmp(wanted.key, "noreply", 7) == 0)
        return 0;
    size_t n_text = write_text(&wanted, text_bytes);
    struct request text = parse_one(PROTOCOL_TEXT, text_bytes, n_text);
    size_t n_binary = write_binary(&wanted, verb_takes_value(text.verb), binary_bytes);
    struct request binary = parse_one(PROTOCOL_BINARY, binary_bytes, n_binary);
    check_same(&text, &binary);
    check_round_trip(&binary);
    return 0;
}
