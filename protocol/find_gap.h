/* find_gap.h - private: where a key ends on a text line, sixteen bytes at a time.
 * Owns: nothing.   Thread: any.
 * Never: reads at or behind the end it was given. */
#ifndef PROTOCOL_FIND_GAP_H
#define PROTOCOL_FIND_GAP_H

#include <stddef.h>
#include <stdint.h>

#ifdef __SSE2__
#include <emmintrin.h>

/* The spaces and newlines among sixteen bytes, as bits. */
static inline unsigned ends_in_16(const uint8_t *at)
{
    __m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)at);
    __m128i space = _mm_cmpeq_epi8(bytes, _mm_set1_epi8(' '));
    __m128i newline = _mm_cmpeq_epi8(bytes, _mm_set1_epi8('\n'));
    return (unsigned)_mm_movemask_epi8(_mm_or_si128(space, newline));
}

/* The first space or newline at or behind at; NULL when there is none, or fewer than 16 bytes. It
 * is not searched for beyond the piece in which n_most bytes end: what is found may lie behind
 * them. */
static inline const uint8_t *find_gap(const uint8_t *at, const uint8_t *end, size_t n_most)
{
    const uint8_t *start = at;
    if (end - at < 16)
        return NULL;
    for (;;) {
        unsigned found = ends_in_16(at);
        if (found != 0)
            return at + __builtin_ctz(found);
        at += 16;
        if (at >= end || (size_t)(at - start) >= n_most)
            return NULL;
        if (end - at < 16)
            at = end - 16;
    }
}
#else
static inline const uint8_t *find_gap(const uint8_t *at, const uint8_t *end, size_t n_most)
{
    (void)at, (void)end, (void)n_most;
    return NULL;
}
#endif

#endif
