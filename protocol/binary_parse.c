#include "base/number.h"
#include "protocol/binary.h"
#include "protocol/dialects.h"

#define MECHANISM_MAX 32          /* bytes of a SASL mechanism's name */
#define NO_VIVIFY     0xffffffffu /* exptime of incr and decr: a miss stays a miss */

enum form { FORM_LOUD, FORM_QUIET };
enum key_rule { KEY_NONE, KEY_NEEDED, KEY_OPTIONAL };
enum value_rule { VALUE_NONE, VALUE_TAKEN, VALUE_SKIPPED };
enum extras {
    EXTRAS_EMPTY,
    EXTRAS_STORE,
    EXTRAS_NUMBER,
    EXTRAS_EXPTIME,
    EXTRAS_DELAY,
    EXTRAS_LEVEL,
    N_EXTRAS
};

struct opcode_row {
    uint8_t verb;
    uint8_t form;
    uint8_t key;
    uint8_t extras;
    uint8_t value;
    uint32_t does;
};

/* Bytes without a row are all zero, which is VERB_BAD. */
static const struct opcode_row opcode_rows[256] = {
#define OPCODE(byte, name, verb, form, key, extras, value, does) \
    [byte] = {VERB_##verb, FORM_##form, KEY_##key, EXTRAS_##extras, VALUE_##value, does},
#include "protocol/opcodes.def"
#undef OPCODE
};

struct extras_lengths {
    uint8_t n_least;
    uint8_t n_most; /* no length between the two is allowed */
};

static const struct extras_lengths extras_lengths[N_EXTRAS] = {
    [EXTRAS_EMPTY] = {0, 0},   [EXTRAS_STORE] = {8, 8}, [EXTRAS_NUMBER] = {20, 20},
    [EXTRAS_EXPTIME] = {4, 4}, [EXTRAS_DELAY] = {0, 4}, [EXTRAS_LEVEL] = {4, 4},
};

struct header {
    uint32_t n_body;
    uint32_t n_head; /* extras and key */
    uint16_t n_key;
    uint8_t n_extras;
};

static bool lengths_fit(const struct opcode_row *row, const struct header *header)
{
    const struct extras_lengths *extras = &extras_lengths[row->extras];
    if (header->n_extras != extras->n_least && header->n_extras != extras->n_most)
        return false;
    if (row->key == KEY_NONE && header->n_key > 0)
        return false;
    if (row->key == KEY_NEEDED && header->n_key == 0)
        return false;
    return row->value != VALUE_NONE || header->n_body == header->n_head;
}

/* The stream cannot be followed any more: the order of these checks is memcached's, clients see
 * which status wins. STATUS_NONE: it can be followed. */
static enum status fatal_status(const struct opcode_row *row, const struct header *header)
{
    if (header->n_head > header->n_body)
        return STATUS_UNKNOWN_OPCODE;
    if (header->n_body > BINARY_BODY_MAX || header->n_key > KEY_MAX)
        return STATUS_BAD_FORMAT;
    if (row->verb != VERB_BAD && !lengths_fit(row, header))
        return STATUS_BAD_FORMAT;
    return STATUS_NONE;
}

static bool is_sasl_exchange(uint8_t verb)
{
    return verb == VERB_SASL_START || verb == VERB_SASL_STEP;
}

/* A request that is refused but whose end is known: its body is swallowed unseen. */
static enum status refused_status(const struct opcode_row *row, const struct header *header)
{
    if (row->verb == VERB_BAD)
        return STATUS_UNKNOWN_OPCODE;
    if (is_sasl_exchange(row->verb) && header->n_key > MECHANISM_MAX)
        return STATUS_BAD_FORMAT;
    return STATUS_NONE;
}

/* Everything that the header alone tells. */
ALWAYS_INLINE void read_header(const uint8_t *p, struct request *out)
{
    request_clear(out);
    out->dialect = DIALECT_BINARY;
    out->opcode = p[BINARY_AT_OPCODE];
    out->is_first = true;
    out->is_last = true;
    out->opaque = load_be32(p + BINARY_AT_OPAQUE);
    out->cas = load_be64(p + BINARY_AT_CAS);
}

static void read_number_extras(const uint8_t *p, struct request *out)
{
    uint32_t exptime = load_be32(p + 16);
    out->delta = load_be64(p);
    out->initial = load_be64(p + 8);
    if (exptime == NO_VIVIFY)
        return;
    out->vivify_exptime = exptime;
    out->does |= DO_VIVIFY;
}

/* Exptimes are unsigned on this wire: none is in the past by its sign. */
static void read_extras(enum extras extras, const uint8_t *p, size_t n, struct request *out)
{
    switch (extras) {
    case EXTRAS_STORE:
        out->client_flags = load_be32(p);
        out->exptime = load_be32(p + 4);
        break;
    case EXTRAS_NUMBER:
        read_number_extras(p, out);
        break;
    case EXTRAS_EXPTIME:
        out->exptime = load_be32(p);
        break;
    case EXTRAS_DELAY:
        out->exptime = n > 0 ? load_be32(p) : 0;
        break;
    case EXTRAS_LEVEL:
        out->args = slice_of(out->raw_key, number_render_u64(out->raw_key, load_be32(p)));
        break;
    case EXTRAS_EMPTY:
    case N_EXTRAS:
        break;
    }
}

/* A cas other than 0 makes a change conditional. An add or a replace is then the same as a set: the
 * item must be there and unchanged (measured with memcached; its protocol text is silent). */
static void apply_cas(struct request *out)
{
    if (out->cas == 0)
        out->does &= ~(uint32_t)DO_CAS;
    else if ((out->does & DO_CAS) && (out->verb == VERB_ADD || out->verb == VERB_REPLACE))
        out->verb = VERB_SET;
}

static void read_request(const struct opcode_row *row, const struct header *header,
                         const uint8_t *body, struct request *out)
{
    out->verb = row->verb;
    out->is_quiet = row->form == FORM_QUIET;
    out->closes = row->verb == VERB_QUIT;
    out->does = row->does;
    out->n_value = header->n_body - header->n_head;
    read_extras((enum extras)row->extras, body, header->n_extras, out);
    struct slice key = slice_of(body + header->n_extras, header->n_key);
    if (row->verb == VERB_STATS)
        out->args = key;
    else
        out->key = key;
    apply_cas(out);
}

/* The same of a request that is not looked at any further. */
NEVER_INLINE enum parse_result refuse(const uint8_t *p, enum status status, uint32_t n_swallowed,
                                      struct request *out, size_t *n_consumed_out)
{
    read_header(p, out);
    out->verb = VERB_BAD;
    out->status = (uint8_t)status;
    out->n_value = n_swallowed;
    *n_consumed_out = BINARY_HEADER;
    return PARSE_OK;
}

static enum parse_result give_up(const uint8_t *p, enum status status, struct request *out,
                                 size_t *n_consumed_out)
{
    (void)refuse(p, status, 0, out, n_consumed_out);
    out->closes = true;
    return PARSE_BAD;
}

/* No request: its header is not to be believed, and may not even be there. */
NEVER_INLINE enum parse_result give_up_unread(struct request *out, size_t *n_consumed_out)
{
    request_clear(out);
    out->dialect = DIALECT_BINARY;
    out->verb = VERB_BAD;
    out->closes = true;
    *n_consumed_out = BINARY_HEADER;
    return PARSE_BAD;
}

size_t binary_parse_bare_set(const uint8_t *p, size_t n, struct bare_set *out)
{
    if (UNLIKELY(n < BINARY_HEADER || p[0] != BINARY_REQUEST))
        return 0;
    const struct opcode_row *row = &opcode_rows[p[BINARY_AT_OPCODE]];
    const uint32_t n_extras = extras_lengths[EXTRAS_STORE].n_most;
    if (row->verb != VERB_SET)
        return 0;
    uint32_t n_key = load_be16(p + BINARY_AT_N_KEY), n_body = load_be32(p + BINARY_AT_N_BODY);
    uint32_t n_least = n_extras + n_key;
    if (UNLIKELY(p[BINARY_AT_N_EXTRAS] != n_extras || n_key == 0 || n_key > KEY_MAX ||
                 n_body < n_least || n_body > n - BINARY_HEADER ||
                 load_be64(p + BINARY_AT_CAS) != 0))
        return 0;
    const uint8_t *extras = p + BINARY_HEADER;
    out->opcode = p[BINARY_AT_OPCODE];
    out->is_quiet = row->form == FORM_QUIET;
    out->key = slice_of(extras + n_extras, n_key);
    out->value = extras + n_least;
    out->n_value = n_body - n_least;
    out->client_flags = load_be32(extras);
    out->exptime = load_be32(extras + 4);
    out->opaque = load_be32(p + BINARY_AT_OPAQUE);
    out->n_head = BINARY_HEADER + n_least;
    out->dialect = DIALECT_BINARY;
    return BINARY_HEADER + (size_t)n_body;
}

void binary_set_request(const struct bare_set *set, struct request *out)
{
    const struct opcode_row *row = &opcode_rows[set->opcode];
    request_clear(out);
    out->dialect = DIALECT_BINARY;
    out->opcode = set->opcode;
    out->is_first = true;
    out->is_last = true;
    out->opaque = set->opaque;
    out->verb = row->verb;
    out->is_quiet = set->is_quiet;
    out->does = row->does;
    out->key = set->key;
    out->client_flags = set->client_flags;
    out->exptime = set->exptime;
    out->n_value = set->n_value;
    out->value = slice_of(set->value, set->n_value);
    apply_cas(out);
}

enum parse_result binary_parse(struct parser *parser, const uint8_t *p, size_t n,
                               struct request *out, size_t *n_consumed_out)
{
    (void)parser;
    if (UNLIKELY(p[0] != BINARY_REQUEST))
        return give_up_unread(out, n_consumed_out);
    if (n < BINARY_HEADER)
        return PARSE_MORE;

    const struct opcode_row *row = &opcode_rows[p[BINARY_AT_OPCODE]];
    struct header header = {
        .n_body = load_be32(p + BINARY_AT_N_BODY),
        .n_key = load_be16(p + BINARY_AT_N_KEY),
        .n_extras = p[BINARY_AT_N_EXTRAS],
    };
    header.n_head = (uint32_t)header.n_key + header.n_extras;

    enum status status = fatal_status(row, &header);
    if (UNLIKELY(status != STATUS_NONE))
        return give_up(p, status, out, n_consumed_out);
    status = refused_status(row, &header);
    if (UNLIKELY(status != STATUS_NONE))
        return refuse(p, status, header.n_body, out, n_consumed_out);
    if (n - BINARY_HEADER < header.n_head)
        return PARSE_MORE;

    read_header(p, out);
    read_request(row, &header, p + BINARY_HEADER, out);
    *n_consumed_out = BINARY_HEADER + header.n_head;
    return PARSE_OK;
}
