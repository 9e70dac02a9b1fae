/* key_text.h - keys as dumps and watchers show them.
 * Owns: nothing.   Thread: any.
 * Never: lets a byte of a key break a line. */
#ifndef SERVER_KEY_TEXT_H
#define SERVER_KEY_TEXT_H

#include "base/bytes.h"

/* Letters, digits and -._~ stay; everything else is %XX. At most 3 * key.n bytes. */
size_t key_text_uri(uint8_t *out, struct slice key);

/* RFC 4648 with padding. At most 4 * (key.n + 2) / 3 bytes. */
size_t key_text_base64(uint8_t *out, struct slice key);

#endif
