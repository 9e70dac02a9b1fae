#include "protocol/dialects.h"

static const struct dialect_encoder *const encoders[] = {
    [DIALECT_TEXT] = &text_encoder,
    [DIALECT_META] = &meta_encoder,
    [DIALECT_BINARY] = &binary_encoder,
};

size_t encode_head(const struct request *request, const struct reply *reply, uint8_t *out)
{
    return encoders[request->dialect]->head(request, reply, out);
}

size_t encode_tail(const struct request *request, const struct reply *reply, uint8_t *out)
{
    return encoders[request->dialect]->tail(request, reply, out);
}

size_t encode_whole(const struct request *request, const struct reply *reply, struct slice value,
                    uint8_t *out)
{
    return encoders[request->dialect]->whole(request, reply, value, out);
}

bool encode_is_hidden(const struct request *request, const struct reply *reply)
{
    return encoders[request->dialect]->is_hidden(request, reply);
}

size_t encode_stat(const struct request *request, struct slice name, struct slice value,
                   uint8_t *out)
{
    return encoders[request->dialect]->stat(request, name, value, out);
}

size_t encode_stat_end(const struct request *request, uint8_t *out)
{
    return encoders[request->dialect]->stat_end(request, out);
}
