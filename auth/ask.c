#include "auth/ask.h"

#include "auth/users.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <termios.h>
#include <unistd.h>

_Static_assert(USERS_PASSWORD_MAX == 1024, "the message below names it");

static bool read_stdin(struct secret *password)
{
    uint8_t bytes[256];
    bool is_good = true;
    for (;;) {
        ssize_t n = read(STDIN_FILENO, bytes, sizeof bytes);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        is_good = is_good && secret_append(password, slice_of(bytes, (size_t)n));
    }
    secret_wipe(bytes, sizeof bytes);
    return is_good;
}

static bool read_line(int fd, struct secret *password)
{
    uint8_t byte;
    while (read(fd, &byte, 1) == 1 && byte != '\n') {
        if (!secret_append(password, slice_of(&byte, 1)))
            return false;
    }
    return true;
}

/* One prompt without echo; signals wait until the terminal is as it was. */
static bool ask_once(int tty, const char *prompt, struct secret *password)
{
    struct termios old, quiet;
    sigset_t all, before;
    if (tcgetattr(tty, &old) != 0)
        return false;
    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, &before);
    quiet = old;
    quiet.c_lflag &= ~(tcflag_t)(ECHO | ISIG);
    (void)tcsetattr(tty, TCSAFLUSH, &quiet);
    dprintf(tty, "%s", prompt);
    bool is_good = read_line(tty, password);
    dprintf(tty, "\n");
    (void)tcsetattr(tty, TCSAFLUSH, &old);
    sigprocmask(SIG_SETMASK, &before, NULL);
    return is_good;
}

static bool ask_twice(struct secret *password, const char **reason_out)
{
    struct secret *again = secret_create(USERS_PASSWORD_MAX + 2);
    int tty = open("/dev/tty", O_RDWR | O_NOCTTY | O_CLOEXEC);
    bool is_good = false;
    if (tty < 0)
        *reason_out = "there is no terminal to ask for the password: use --password-stdin";
    else if (again != NULL && ask_once(tty, "New password: ", password) &&
             ask_once(tty, "Again: ", again)) {
        is_good = secret_equal(slice_of(password->p, password->n), slice_of(again->p, again->n));
        if (!is_good)
            *reason_out = "the two differ";
    }
    if (tty >= 0)
        close(tty);
    secret_destroy(&again);
    return is_good;
}

struct secret *ask_password(bool is_stdin, const char **reason_out)
{
    struct secret *password = secret_create(USERS_PASSWORD_MAX + 2);
    if (password == NULL) {
        *reason_out = "out of memory";
        return NULL;
    }
    *reason_out = "a password is one line of 1 to 1024 bytes";
    bool is_good = is_stdin ? read_stdin(password) : ask_twice(password, reason_out);
    if (is_good && password->n > 0 && password->p[password->n - 1] == '\n')
        password->n--;
    if (is_good && (password->n == 0 || password->n > USERS_PASSWORD_MAX ||
                    memchr(password->p, '\0', password->n) != NULL ||
                    memchr(password->p, '\n', password->n) != NULL))
        is_good = false;
    if (!is_good)
        secret_destroy(&password);
    return password;
}
