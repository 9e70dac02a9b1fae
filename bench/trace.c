#include "bench/trace.h"

#include "base/must.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define VALUE_MEDIAN 200.0
#define VALUE_SPREAD 1.2
#define VALUE_MAX    65536U
#define ZIPF_SEED    7

_Static_assert(sizeof(struct trace_record) == 24, "the file's record");

bool trace_open_file(struct trace *trace, const char *path, uint64_t n_max)
{
    *trace = (struct trace){0};
    FILE *file = fopen(path, "rb");
    if (file == NULL)
        return false;
    bool is_sized = fseek(file, 0, SEEK_END) == 0;
    long size = is_sized ? ftell(file) : -1;
    rewind(file);
    if (size > 0) {
        uint64_t n = (uint64_t)size / sizeof *trace->records;
        n = n < n_max ? n : n_max;
        trace->records = malloc(n * sizeof *trace->records);
        MUST(trace->records != NULL);
        trace->n_records = fread(trace->records, sizeof *trace->records, n, file);
    }
    fclose(file);
    return trace->n_records > 0;
}

void trace_open_zipf(struct trace *trace, uint64_t n_keys, double exponent, uint64_t n_requests,
                     bool has_ttl)
{
    *trace = (struct trace){.n_synthetic = n_keys, .n_records = n_requests, .has_ttl = has_ttl};
    trace->random = ZIPF_SEED;
    zipf_init(&trace->zipf, n_keys, exponent);
}

void trace_close(struct trace *trace)
{
    free(trace->records);
    *trace = (struct trace){0};
}

void trace_rewind(struct trace *trace)
{
    trace->at = 0;
    trace->random = ZIPF_SEED;
}

/* A standard normal number that belongs to the key (Box-Muller). */
static double normal_of(uint64_t key)
{
    double a = (double)((keyspace_mix(key * 2 + 1) >> 11) + 1) * 0x1p-53;
    double b = (double)(keyspace_mix(key * 2 + 2) >> 11) * 0x1p-53;
    return sqrt(-2 * log(a)) * cos(6.283185307179586 * b);
}

static void draw(struct trace *trace, struct trace_record *record)
{
    static const uint32_t ttls[10] = {5, 5, 5, 20, 20, 20};
    uint64_t key = zipf_draw(&trace->zipf, &trace->random);
    uint64_t mixed = keyspace_mix(key ^ 0x747261636573ULL);
    double n_value = VALUE_MEDIAN * exp(VALUE_SPREAD * normal_of(key));
    *record = (struct trace_record){.key = mixed, .n_key = (uint8_t)(20 + mixed % 30)};
    record->n_value = n_value < VALUE_MAX ? (uint32_t)n_value : VALUE_MAX;
    record->ttl_s = trace->has_ttl ? ttls[(mixed >> 32) % 10] : 0;
}

bool trace_next(struct trace *trace, struct trace_record *record_out)
{
    if (trace->at == trace->n_records)
        return false;
    if (trace->n_synthetic > 0)
        draw(trace, record_out);
    else
        *record_out = trace->records[trace->at];
    trace->at++;
    return true;
}
