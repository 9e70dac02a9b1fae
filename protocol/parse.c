#include "protocol/dialects.h"

#define BINARY_MAGIC 0x80

void parser_init(struct parser *parser, enum protocol allowed)
{
    *parser = (struct parser){.protocol = (uint8_t)allowed};
}

enum parse_result parse_request(struct parser *parser, const uint8_t *p, size_t n,
                                struct request *out, size_t *n_consumed_out)
{
    if (n == 0)
        return PARSE_MORE;
    if (UNLIKELY(parser->protocol == PROTOCOL_AUTO))
        parser->protocol = p[0] == BINARY_MAGIC ? PROTOCOL_BINARY : PROTOCOL_TEXT;
    if (parser->protocol == PROTOCOL_BINARY)
        return binary_parse(parser, p, n, out, n_consumed_out);
    return text_parse(parser, p, n, out, n_consumed_out);
}

void bare_set_request(const struct bare_set *set, struct request *out)
{
    if (set->dialect == DIALECT_BINARY)
        binary_set_request(set, out);
    else
        text_set_request(set, out);
}
