/* base64.h - private: keys of the meta flag b (RFC 4648, section 4, with padding).
 * Ours because openssl is fenced off to tls and auth, and because a key must have one spelling
 * only: other decoders accept stray bits and missing padding.
 * Owns: nothing.   Thread: any.
 * Never: reads or writes beyond the lengths given. */
#ifndef PROTOCOL_BASE64_H
#define PROTOCOL_BASE64_H

#include "base/bytes.h"
#include "base/must.h"

#define BASE64_ENCODED(n) (((n) + 2) / 3 * 4)

/* Decodes into out, which has room for text.n / 4 * 3 bytes. False unless text is the one canonical
 * form of its bytes and not empty. */
MUST_USE bool base64_decode(struct slice text, uint8_t *out, size_t *n_out);

/* Writes BASE64_ENCODED(bytes.n) characters; returns their number. */
size_t base64_encode(struct slice bytes, uint8_t *out);

#endif
