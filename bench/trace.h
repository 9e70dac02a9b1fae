/* trace.h - requests to replay: records of a file, or drawn from a Zipf distribution.
 * Owns: the file and the generator's state.   Thread: one.
 * Never: reads the clock: time is the record's. */
#ifndef BENCH_TRACE_H
#define BENCH_TRACE_H

#include "base/bytes.h"
#include "bench/keyspace.h"

enum trace_op { TRACE_GET = 0, TRACE_SET, TRACE_DELETE, TRACE_INCR };

/* One request; the layout is the file's record of 24 bytes, little endian. */
struct trace_record {
    uint64_t key;
    uint32_t second;
    uint32_t ttl_s; /* 0: never expires */
    uint32_t n_value;
    uint8_t n_key;
    uint8_t op;
    uint8_t has_flags;
    uint8_t spare;
};

struct trace {
    struct trace_record *records; /* a file, read whole */
    uint64_t n_records;
    uint64_t at;
    uint64_t n_synthetic; /* keys of the generator; 0: the file is used */
    uint64_t random;
    bool has_ttl;
    struct zipf zipf;
};

/* Reads at most n_max records. False when the file cannot be read. */
bool trace_open_file(struct trace *trace, const char *path, uint64_t n_max);

/* n_requests gets on n_keys keys; value sizes are log-normal by key (median 200 bytes), three in
 * ten keys live 5 s and three in ten 20 s when has_ttl. */
void trace_open_zipf(struct trace *trace, uint64_t n_keys, double exponent, uint64_t n_requests,
                     bool has_ttl);
void trace_close(struct trace *trace);

/* The next record; false at the end. */
bool trace_next(struct trace *trace, struct trace_record *record_out);
void trace_rewind(struct trace *trace);

#endif
