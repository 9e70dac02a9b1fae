#include "t/unit/tls_shortage.h"

#include <openssl/crypto.h>
#include <stdlib.h>

#include "base/must.h"

static long n_until_failure; /* counts down while positive */
static bool is_counting, has_struck;

static bool is_failing(void)
{
    if (!is_counting || n_until_failure <= 0 || --n_until_failure > 0)
        return false;
    has_struck = true;
    return true;
}

static void *allocate(size_t n, const char *file, int line)
{
    (void)file;
    (void)line;
    return is_failing() ? NULL : malloc(n);
}

static void *reallocate(void *p, size_t n, const char *file, int line)
{
    (void)file;
    (void)line;
    return is_failing() ? NULL : realloc(p, n);
}

static void release(void *p, const char *file, int line)
{
    (void)file;
    (void)line;
    free(p);
}

void tls_shortage_install(void)
{
    MUST(CRYPTO_set_mem_functions(allocate, reallocate, release) == 1);
}

void tls_shortage_set(long n)
{
    n_until_failure = n;
    has_struck = false;
}

void tls_shortage_begin(void)
{
    is_counting = true;
}

void tls_shortage_end(void)
{
    is_counting = false;
}

bool tls_shortage_has_struck(void)
{
    return has_struck;
}
