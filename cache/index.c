#include "cache/index.h"

#include <sched.h>
#include <sys/mman.h>

#define COMMIT_STEP ((size_t)1 << 12) /* buckets */
#define HUGE_PAGE   ((size_t)2 << 20) /* bytes */
#define SPINS       100u

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25 /* since Linux 6.1; this libc does not know it yet */
#endif

#if defined(__x86_64__) || defined(__i386__)
#define cpu_relax() __builtin_ia32_pause()
#else
#define cpu_relax() atomic_signal_fence(memory_order_seq_cst)
#endif

/* Address space that begins with a huge page. */
static void *reserve(size_t n)
{
    uint8_t *at =
        mmap(NULL, n + HUGE_PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (at == MAP_FAILED)
        return NULL;
    size_t n_before = -(uintptr_t)at & (HUGE_PAGE - 1);
    if (n_before > 0)
        (void)munmap(at, n_before);
    (void)munmap(at + n_before + n, HUGE_PAGE - n_before);
    return at + n_before;
}

bool index_init(struct index *index, size_t n_buckets, size_t n_max, bool has_huge_pages)
{
    void *at = reserve(n_max * sizeof(struct bucket));
    if (at == NULL)
        return false;
    index->buckets = at;
    index->n_reserved = n_max;
    index->n_committed = n_buckets;
    index->has_huge_pages = has_huge_pages;
    if (mprotect(at, n_buckets * sizeof(struct bucket), PROT_READ | PROT_WRITE) != 0) {
        index_fini(index);
        return false;
    }
    /* Whole ones only: the kernel fills a huge page at its first touch, used or not. */
    index->n_joined = n_buckets * sizeof(struct bucket) & ~(HUGE_PAGE - 1);
    if (has_huge_pages && index->n_joined > 0)
        (void)madvise(at, index->n_joined, MADV_HUGEPAGE);
    atomic_store(&index->state, (uint64_t)n_buckets << 32);
    atomic_store(&index->n_items, 0);
    atomic_store(&index->is_splitting, 0);
    return true;
}

void index_fini(struct index *index)
{
    if (index->buckets != NULL)
        munmap(index->buckets, index->n_reserved * sizeof(struct bucket));
    index->buckets = NULL;
}

void bucket_wait(struct bucket *bucket)
{
    unsigned n = 1;
    do {
        if (n++ % SPINS == 0)
            sched_yield();
        else
            cpu_relax();
    } while (!bucket_try_lock(bucket));
}

void index_announce_move(struct index *index)
{
    /* The count fills the low half; a carry out of it would change the number of buckets. */
    uint64_t state = index_state(index), next;
    do {
        next = (state & ~(uint64_t)UINT32_MAX) | (uint32_t)(state + 1);
    } while (!atomic_compare_exchange_weak(&index->state, &state, next));
}

static bool commit_bucket(struct index *index, size_t n)
{
    if (n <= index->n_committed)
        return true;
    size_t step = COMMIT_STEP;
    if (step > index->n_reserved - index->n_committed)
        step = index->n_reserved - index->n_committed;
    if (step == 0)
        return false;
    if (mprotect(index->buckets + index->n_committed, step * sizeof(struct bucket),
                 PROT_READ | PROT_WRITE) != 0)
        return false;
    index->n_committed += step;
    return true;
}

bool index_split_begin(struct index *index, struct index_split *split_out)
{
    if (atomic_exchange_explicit(&index->is_splitting, 1, memory_order_acquire) != 0)
        return false;
    uint32_t n = index_n_buckets(index_state(index));
    if (!commit_bucket(index, (size_t)n + 1)) {
        atomic_store_explicit(&index->is_splitting, 0, memory_order_release);
        return false;
    }
    uint32_t top = 1u << (31 - __builtin_clz(n));
    split_out->from = &index->buckets[n - top];
    split_out->to = &index->buckets[n];
    split_out->n_after = n + 1;
    bucket_lock(split_out->from);
    bucket_lock(split_out->to);
    return true;
}

void index_split_publish(struct index *index, const struct index_split *split)
{
    uint64_t state = index_state(index), next;
    do {
        next = (uint64_t)split->n_after << 32 | (uint32_t)(state + 1);
    } while (!atomic_compare_exchange_weak(&index->state, &state, next));
}

void index_split_end(struct index *index, struct index_split *split)
{
    bucket_unlock(split->to);
    bucket_unlock(split->from);
    atomic_store_explicit(&index->is_splitting, 0, memory_order_release);
}

void index_join_pages(struct index *index)
{
    size_t n = index_n_buckets(index_state(index)) * sizeof(struct bucket) & ~(HUGE_PAGE - 1);
    if (n == index->n_joined || !index->has_huge_pages)
        return;
    uint8_t *first = (uint8_t *)index->buckets + index->n_joined;
    /* Older kernels know only the first, and do it in their own time. */
    (void)madvise(first, n - index->n_joined, MADV_HUGEPAGE);
    (void)madvise(first, n - index->n_joined, MADV_COLLAPSE);
    index->n_joined = n;
}
