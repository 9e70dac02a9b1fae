/* OpenSSL's allocations fail one after the other, in a process that has not yet used OpenSSL: it
 * looks for algorithms once, and what memory was too short for then is never found again. Each
 * place is tried in a server process of its own, with a client in another. */
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "t/unit/tls_pair.h"
#include "t/unit/tls_shortage.h"

#define N_CONNECTIONS 4

enum when { AT_START, AT_FIRST_HANDSHAKE };

static const struct row {
    enum when when;
    int first_version;
} rows[] = {
    {AT_FIRST_HANDSHAKE, TLS1_3_VERSION},
    {AT_FIRST_HANDSHAKE, TLS1_2_VERSION},
    {AT_START, TLS1_3_VERSION},
};

/* What the server process tells the test; in shared memory. */
struct result {
    bool has_struck; /* an allocation failed */
    bool has_started;
    int n_served; /* of the connections, those without a failure */
};

static struct result *result;
/* All of the first ones, then ever fewer: a process for each of them would take minutes. */
static long next_place(long n)
{
    return n + 1 + n / (getenv("KEEPD_SANITIZED") != NULL ? 4 : 16);
}

/* The versions take turns. */
static int version_of(const struct row *row, int i)
{
    return (i % 2 == 0) == (row->first_version == TLS1_3_VERSION) ? TLS1_3_VERSION : TLS1_2_VERSION;
}

static void greet(int fd, int version)
{
    SSL_CTX *ctx = pair_client(version, "client");
    SSL *ssl = SSL_new(ctx);
    uint8_t byte = 'a';
    ck_assert_int_eq(SSL_set_fd(ssl, fd), 1);
    if (SSL_connect(ssl) == 1 && SSL_write(ssl, &byte, 1) == 1)
        (void)SSL_read(ssl, &byte, 1);
    /* The server ends the connection, whatever became of it. */
    (void)shutdown(fd, SHUT_WR);
    while (read(fd, &byte, 1) > 0)
        ;
    SSL_free(ssl);
    SSL_CTX_free(ctx);
}

static bool answer(struct tls *tls, int fd)
{
    struct tls_session *session = tls_session_create(tls, fd, TLS_CLIENT_CERT_DEFAULT);
    enum tls_outcome outcome = session != NULL ? TLS_WANT_READ : TLS_CLOSED;
    uint8_t byte;
    size_t n;
    while (outcome == TLS_WANT_READ)
        outcome = tls_handshake(session);
    bool is_good = outcome == TLS_DONE;
    do
        outcome = is_good ? tls_read(session, &byte, 1, &n) : TLS_CLOSED;
    while (outcome == TLS_WANT_READ);
    is_good = outcome == TLS_DONE && tls_write(session, &byte, 1, &n) == TLS_DONE;
    tls_session_destroy(&session);
    return is_good;
}

static void serve(const struct row *row, const int *fds)
{
    struct tls_config config = pair_config_verify(TLS_VERIFY_REQUIRE);
    struct tls_report report;
    if (row->when == AT_START)
        tls_shortage_begin();
    struct tls *tls = tls_create(&config, pair_now(), &report);
    tls_shortage_end();
    result->has_started = tls != NULL;
    for (int i = 0; tls != NULL && i < N_CONNECTIONS; i++) {
        bool is_short = row->when == AT_FIRST_HANDSHAKE && i == 0;
        if (is_short)
            tls_shortage_begin();
        bool is_good = answer(tls, fds[i]);
        tls_shortage_end();
        if (is_good || is_short)
            result->n_served++;
        (void)close(fds[i]);
    }
    result->has_struck = tls_shortage_has_struck();
}

/* A child's part is told by which ends of the sockets it keeps. */
static pid_t begin_child(const struct row *row, int ends[2][N_CONNECTIONS], int kept)
{
    pid_t pid = fork();
    ck_assert_int_ge(pid, 0);
    if (pid > 0)
        return pid;
    for (int i = 0; i < N_CONNECTIONS; i++)
        (void)close(ends[!kept][i]);
    if (kept == 0)
        serve(row, ends[0]);
    for (int i = 0; kept == 1 && i < N_CONNECTIONS; i++) {
        greet(ends[1][i], version_of(row, i));
        (void)close(ends[1][i]);
    }
    _exit(EXIT_SUCCESS);
}

static void run_both(const struct row *row, long n)
{
    int ends[2][N_CONNECTIONS], status;
    for (int i = 0; i < N_CONNECTIONS; i++) {
        int fds[2];
        ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
        ends[0][i] = fds[0];
        ends[1][i] = fds[1];
    }
    tls_shortage_set(n);
    pid_t server = begin_child(row, ends, 0), client = begin_child(row, ends, 1);
    for (int i = 0; i < N_CONNECTIONS; i++) {
        (void)close(ends[0][i]);
        (void)close(ends[1][i]);
    }
    ck_assert_int_eq(waitpid(server, &status, 0), server);
    ck_assert_msg(status == 0, "allocation %ld: the server's status is %d", n, status);
    ck_assert_int_eq(waitpid(client, &status, 0), client);
    ck_assert_int_eq(status, 0);
}

START_TEST(what_failed_once_works_later)
{
    const struct row *row = &rows[_i];
    long n = 0;
    result = mmap(NULL, sizeof *result, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ck_assert_ptr_ne(result, MAP_FAILED);
    do {
        n = next_place(n);
        *result = (struct result){0};
        run_both(row, n);
        ck_assert_msg(result->has_started || (result->has_struck && row->when == AT_START),
                      "allocation %ld: no start", n);
        ck_assert_msg(!result->has_started || result->n_served == N_CONNECTIONS,
                      "allocation %ld: %d served later", n, result->n_served);
    } while (result->has_struck && n < 1000000);
    ck_assert_int_gt(n, 500);
    (void)munmap(result, sizeof *result);
}
END_TEST

int main(void)
{
    tls_shortage_install();
    (void)signal(SIGPIPE, SIG_IGN);
    Suite *suite = suite_create("tls_first");
    TCase *tc = tcase_create("rows");
    tcase_add_loop_test(tc, what_failed_once_works_later, 0, N_ROWS(rows));
    suite_add_tcase(suite, tc);
    return pair_run(suite);
}
