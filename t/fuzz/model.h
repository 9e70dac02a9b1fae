/* model.h - a dictionary of items beside a server, and what the server is to answer by it.
 * Owns: the items, the requests to be sent, the answers wanted.   Thread: one.
 * Never: looks at what the server answered, but for the cas numbers that model.c learns. */
#ifndef T_FUZZ_MODEL_H
#define T_FUZZ_MODEL_H

#include "t/buffer.h"
#include "t/fuzz/fuzz.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define N_KEYS       4
#define N_OPS_MAX    64
#define N_VALUE_MAX  (512u << 10)
#define N_PIECES_MAX 1024
#define UNKNOWN_CAS  (1ull << 62)

/* What an answer consists of: known bytes, or the cas number of a version of an item. */
enum piece_kind { PIECE_BYTES, PIECE_CAS_DIGITS, PIECE_CAS_BYTES };

struct piece {
    enum piece_kind kind;
    size_t start; /* in wanted */
    size_t n;
    unsigned version;
};

struct item {
    bool is_there;
    unsigned version;
    unsigned flags;
    size_t n;
    uint8_t *value;
};

struct model {
    struct item items[N_KEYS];
    uint64_t cas[2 * N_OPS_MAX + 2]; /* by version; 0 until an answer told it */
    unsigned n_versions;
    struct buffer sent;
    struct buffer wanted;
    struct piece pieces[N_PIECES_MAX];
    size_t n_pieces;
};

struct op {
    uint8_t what;
    uint8_t key;
    uint8_t how;
    uint8_t number;
};

enum model_dialect { DIALECT_OF_TEXT, DIALECT_OF_META, DIALECT_OF_BINARY };

/* Writes the operation as a request, and what is to come of it to the wanted answers; changes the
 * dictionary. */
void model_do(struct model *m, const struct op *op, enum model_dialect dialect);

/* All bytes of wanted that no piece covers yet become one. */
void model_end_piece(struct model *m);

#endif
