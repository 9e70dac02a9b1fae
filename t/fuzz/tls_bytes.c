/* Any bytes where a handshake is expected: they end the session with a reason, the same one however
 * they are split, without a word of theirs becoming a request. The first byte is the seed of the
 * splitting. */
#include "t/fuzz/certificate.h"
#include "t/fuzz/fuzz.h"
#include "tls/tls.h"

#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define OPENING_MIN 8 /* what comes first is judged at once, so it comes in one piece */

static uint32_t next_random(uint32_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 17;
    *seed ^= *seed << 5;
    return *seed;
}

static size_t portion(uint32_t *seed, bool is_first, size_t n)
{
    if (*seed == 0)
        return n;
    uint32_t x = next_random(seed);
    size_t most = (x & 1) != 0 ? 1 + (x >> 8) % 8 : 1 + (x >> 8) % 1024;
    if (is_first && most < OPENING_MIN)
        most = OPENING_MIN;
    return n < most ? n : most;
}

static size_t n_readable(int fd)
{
    int n = 0;
    HOLDS(ioctl(fd, FIONREAD, &n) == 0);
    return (size_t)n;
}

/* Calls as the worker does, and each call gets on. */
static bool is_over(struct tls_session *session, int fd)
{
    for (;;) {
        size_t n_before = n_readable(fd);
        enum tls_outcome outcome = tls_handshake(session);
        HOLDS(outcome == TLS_WANT_READ || outcome == TLS_CLOSED);
        HOLDS(!tls_session_is_ready(session) && !tls_has_pending(session));
        if (outcome == TLS_CLOSED)
            return true;
        size_t n_after = n_readable(fd);
        HOLDS(n_after < n_before || n_before == 0);
        if (n_after == 0)
            return false;
    }
}

static void check_explanation(const struct tls_session *session, enum tls_fault fault)
{
    struct tls_report report;
    tls_session_explain(session, &report);
    for (const char *c = report.text; *c != '\0'; c++)
        HOLDS((unsigned char)*c >= 0x20 && *c != 0x7f);
    HOLDS(fault != TLS_FAULT_PROTOCOL || report.text[0] != '\0');
}

static enum tls_fault play(struct tls *tls, struct slice bytes, uint32_t seed)
{
    int fds[2];
    HOLDS(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) == 0);
    struct tls_session *session = tls_session_create(tls, fds[0], TLS_CLIENT_CERT_DEFAULT);
    HOLDS(session != NULL);
    bool has_ended = false;
    for (size_t at = 0; at < bytes.n && !has_ended;) {
        size_t n = portion(&seed, at == 0, bytes.n - at);
        HOLDS(send(fds[1], bytes.p + at, n, MSG_NOSIGNAL) == (ssize_t)n);
        at += n;
        has_ended = is_over(session, fds[0]);
    }
    HOLDS(shutdown(fds[1], SHUT_WR) == 0);
    HOLDS(has_ended || tls_handshake(session) == TLS_CLOSED);
    enum tls_fault fault = tls_session_fault(session);
    HOLDS(fault != TLS_FAULT_NONE && fault != TLS_FAULT_SYSTEM);
    check_explanation(session, fault);
    HOLDS(tls_handshake(session) == TLS_CLOSED && tls_shutdown(session) == TLS_DONE);
    tls_session_destroy(&session);
    close(fds[0]);
    close(fds[1]);
    return fault;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static struct tls *tls;
    struct tls_counters before, after;
    if (n == 0)
        return 0;
    if (tls == NULL)
        tls = certificate_tls();
    struct slice bytes = slice_of(data + 1, n - 1);
    tls_counters(tls, &before);
    enum tls_fault whole = play(tls, bytes, 0);
    enum tls_fault split = play(tls, bytes, 1 + data[0]);
    tls_counters(tls, &after);
    HOLDS(whole == split);
    HOLDS(after.handshakes_failed == before.handshakes_failed + 2);
    HOLDS((after.handshakes_plain == before.handshakes_plain + 2) == (whole == TLS_FAULT_PLAIN));
    HOLDS(after.handshakes_full == 0 && after.handshakes_resumed == 0);
    return 0;
}
