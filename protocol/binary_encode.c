#include "base/must.h"
#include "protocol/binary.h"
#include "protocol/dialects.h"
#include "protocol/parse.h"
#include "protocol/text_writer.h"

#define FLAGS_SIZE 4 /* bytes of the extras of a hit */

/* What stands between the header and the value. */
struct packet {
    uint16_t code;
    uint64_t cas;
    struct slice extras;
    struct slice key;
    struct slice text; /* a value that the encoder writes itself */
    uint64_t n_value;  /* a value that the server sends behind the head */
};

static uint8_t *put(uint8_t *at, struct slice bytes)
{
    if (bytes.n > 0)
        memcpy(at, bytes.p, bytes.n);
    return at + bytes.n;
}

static size_t put_packet(const struct request *request, const struct packet *packet, uint8_t *out)
{
    uint64_t n_body = packet->extras.n + packet->key.n + packet->text.n + packet->n_value;
    MUST(packet->key.n <= UINT16_MAX && n_body <= UINT32_MAX);
    memset(out, 0, BINARY_HEADER);
    out[0] = BINARY_REPLY;
    out[BINARY_AT_OPCODE] = request->opcode;
    store_be16(out + BINARY_AT_N_KEY, (uint16_t)packet->key.n);
    out[BINARY_AT_N_EXTRAS] = (uint8_t)packet->extras.n;
    store_be16(out + BINARY_AT_STATUS, packet->code);
    store_be32(out + BINARY_AT_N_BODY, (uint32_t)n_body);
    store_be32(out + BINARY_AT_OPAQUE, request->opaque);
    store_be64(out + BINARY_AT_CAS, packet->cas);
    uint8_t *at = out + BINARY_HEADER;
    at = put(at, packet->extras);
    at = put(at, packet->key);
    at = put(at, packet->text);
    return (size_t)(at - out);
}

/* Quiet gets hide their miss, everything else its success: what the sender expects anyway. */
static bool binary_is_hidden(const struct request *request, const struct reply *reply)
{
    if (!request->is_quiet || request->verb == VERB_BAD)
        return false;
    if (request->verb == VERB_GET)
        return reply->status == STATUS_MISS;
    return status_is_success(reply->status);
}

/* An error packet carries its text, no key and no cas; a missed GETK or GATK its key instead of
 * the text, so that a client can tell which of its keys it was. */
static void fill_error(const struct request *request, const struct reply *reply,
                       struct packet *packet)
{
    if (reply->status == STATUS_MISS && (request->does & WANT_KEY)) {
        packet->key = request->key;
        return;
    }
    packet->text = reply->status == STATUS_AUTH_CONTINUE
                       ? reply->text
                       : slice_str(status_row(reply->status)->body);
}

/* bytes: 8 bytes of scratch that must outlive the packet. */
static void fill_success(const struct request *request, const struct reply *reply, uint8_t *bytes,
                         struct packet *packet)
{
    packet->cas = (request->does & WANT_CAS) ? reply->cas : 0;
    switch (reply->status) {
    case STATUS_HIT:
        store_be32(bytes, reply->client_flags);
        packet->extras = slice_of(bytes, FLAGS_SIZE);
        if (request->does & WANT_KEY)
            packet->key = request->key;
        packet->n_value = reply->has_value ? reply->n_value : 0;
        break;
    case STATUS_TOUCHED:
        store_be32(bytes, reply->client_flags);
        packet->extras = slice_of(bytes, FLAGS_SIZE);
        break;
    case STATUS_NUMBER:
        store_be64(bytes, reply->number);
        packet->text = slice_of(bytes, 8);
        break;
    case STATUS_TEXT:
        packet->text = reply->text;
        break;
    case STATUS_AUTHENTICATED:
        packet->text =
            reply->text.n > 0 ? reply->text : slice_str(status_row(STATUS_AUTHENTICATED)->body);
        break;
    default:
        break;
    }
}

static size_t binary_stat_end(const struct request *request, uint8_t *out)
{
    return put_packet(request, &(struct packet){0}, out);
}

static size_t binary_head(const struct request *request, const struct reply *reply, uint8_t *out)
{
    if (binary_is_hidden(request, reply))
        return 0;
    if (reply->status == STATUS_NONE && request->verb != VERB_QUIT)
        return 0;
    /* Clients read statistics until an empty packet of status 0; some hang on an error. */
    if (reply->status == STATUS_UNKNOWN_STAT)
        return binary_stat_end(request, out);
    struct packet packet = {.code = status_row(reply->status)->code};
    uint8_t bytes[8];
    if (packet.code == 0)
        fill_success(request, reply, bytes, &packet);
    else
        fill_error(request, reply, &packet);
    return put_packet(request, &packet, out);
}

static size_t binary_tail(const struct request *request, const struct reply *reply, uint8_t *out)
{
    (void)request, (void)reply, (void)out;
    return 0;
}

/* A get's hit with its value: nearly all of what a cache says. It is never hidden. */
ALWAYS_INLINE size_t put_hit(const struct request *request, const struct reply *reply,
                             struct slice value, uint8_t *out)
{
    struct slice key = request->does & WANT_KEY ? request->key : (struct slice){0};
    uint64_t n_body = FLAGS_SIZE + key.n + reply->n_value;
    MUST(key.n <= UINT16_MAX && n_body <= UINT32_MAX);
    out[0] = BINARY_REPLY;
    out[BINARY_AT_OPCODE] = request->opcode;
    store_be16(out + BINARY_AT_N_KEY, (uint16_t)key.n);
    out[BINARY_AT_N_EXTRAS] = FLAGS_SIZE;
    out[BINARY_AT_N_EXTRAS + 1] = 0; /* data type */
    store_be16(out + BINARY_AT_STATUS, 0);
    store_be32(out + BINARY_AT_N_BODY, (uint32_t)n_body);
    store_be32(out + BINARY_AT_OPAQUE, request->opaque);
    store_be64(out + BINARY_AT_CAS, request->does & WANT_CAS ? reply->cas : 0);
    store_be32(out + BINARY_HEADER, reply->client_flags);
    uint8_t *at = put_short(out + BINARY_HEADER + FLAGS_SIZE, key);
    return (size_t)(put(at, value) - out);
}

size_t binary_encode_stored(const struct bare_set *set, uint64_t cas, uint8_t *out)
{
    memset(out, 0, BINARY_HEADER);
    out[0] = BINARY_REPLY;
    out[BINARY_AT_OPCODE] = set->opcode;
    store_be32(out + BINARY_AT_OPAQUE, set->opaque);
    store_be64(out + BINARY_AT_CAS, cas);
    return BINARY_HEADER;
}

static size_t binary_whole(const struct request *request, const struct reply *reply,
                           struct slice value, uint8_t *out)
{
    if (LIKELY(request->verb == VERB_GET && reply->status == STATUS_HIT && reply->has_value))
        return put_hit(request, reply, value, out);
    return put_whole(binary_head, binary_tail, request, reply, value, out);
}

static size_t binary_stat(const struct request *request, struct slice name, struct slice value,
                          uint8_t *out)
{
    struct packet packet = {.key = name, .text = value};
    return put_packet(request, &packet, out);
}

const struct dialect_encoder binary_encoder = {
    .head = binary_head,
    .tail = binary_tail,
    .whole = binary_whole,
    .is_hidden = binary_is_hidden,
    .stat = binary_stat,
    .stat_end = binary_stat_end,
};
