#include "auth/keepctl.h"

#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char usage_text[] =
    "usage: keepctl --tenants FILE COMMAND\n"
    "\n"
    "  tenant add NAME [--memory-min 64m] [--memory-max 1g] [--item-max 1m]\n"
    "                  [--connections N] [--ops N] [--bytes N]\n"
    "  tenant del NAME\n"
    "  tenant list\n"
    "  user add USER --tenant NAME [--rights read,write,...] [--password-stdin | --no-password]\n"
    "  user list\n"
    "  user disable USER | user enable USER | user del USER\n"
    "  passwd USER [--label L] [--not-before TIME] [--not-after TIME] [--iterations N]\n"
    "              [--password-stdin | --remove]\n"
    "  identity add NAME --user USER (--cert-cn | --cert-dns | --cert-uri | --cert-email |\n"
    "                                 --unix-uid | --unix-gid) VALUE\n"
    "  identity del NAME\n"
    "  check\n"
    "  reload --pid PID-OR-FILE      asks a running keepd to read its files again\n"
    "\n"
    "  SERVER stats [NAME...]        one of the server's statistics\n"
    "  SERVER top [--once]           what goes on, once a second; q ends\n"
    "  SERVER reload                 as above, and says what is wrong with the files\n"
    "  SERVER check-auth             can this user log in; what the server offers\n"
    "  SERVER is --socket PATH, or --address HOST:PORT [--tls [--ca FILE]]; in front of or behind\n"
    "  the command, with [--user NAME --password-stdin]\n"
    "\n"
    "TIME is 2026-11-30 or 2026-11-30T12:00:00Z. Without --password-stdin the password is asked\n"
    "for on the terminal. See keepctl(1).\n";

/* What a command wants to be left open or locked for it. */
enum needs { NEEDS_NOTHING, NEEDS_FILE, CHANGES_FILE, MAKES_FILE };

enum takes { NO_WORD, ONE_NAME, ANY_WORDS };

enum {
    OPTS_SERVER = OPT_SOCKET | OPT_ADDRESS | OPT_TLS | OPT_CA | OPT_USER | OPT_PASSWORD_STDIN,
    OPTS_ANYWHERE = OPT_TENANTS,
};

static const struct command {
    const char *noun;
    const char *verb; /* NULL: the noun is all */
    enum takes takes;
    enum needs needs;
    unsigned options;
    int (*run)(struct call *call);
} commands[] = {
#define COMMAND(noun, verb, takes, needs, options, function) \
    {noun, verb, takes, needs, options, function},
#include "auth/keepctl_commands.def"
#undef COMMAND
};

static const struct option long_options[] = {
#define OPTION(name, word, takes) {word, takes, NULL, KEEPCTL_OPTION_##name},
#include "auth/keepctl_options.def"
#undef OPTION
    {NULL, 0, NULL, 0},
};

int call_complain(const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    fputs("keepctl: ", stderr);
    vfprintf(stderr, format, ap);
    fputc('\n', stderr);
    va_end(ap);
    return EXIT_FAILURE;
}

static int complain_edit(const struct call *call)
{
    return call_complain("%s", call->edit.error.text);
}

const char *call_value(const struct call *call, enum keepctl_option option)
{
    return call->values[option];
}

const char *call_option_word(enum keepctl_option option)
{
    return long_options[option].name;
}

int call_save(struct call *call, const char *kind, char *text)
{
    if (text == NULL)
        return call_complain("out of memory");
    bool is_good = edit_put(&call->edit, kind, call->name, text) && edit_save(&call->edit);
    secret_wipe(text, strlen(text));
    free(text);
    return is_good ? EXIT_SUCCESS : complain_edit(call);
}

int call_remove(struct call *call, const char *kind)
{
    bool is_good = edit_put(&call->edit, kind, call->name, NULL) && edit_save(&call->edit);
    return is_good ? EXIT_SUCCESS : complain_edit(call);
}

int call_check(struct call *call)
{
    const struct users *users = call->edit.users;
    printf("%s: good: %zu tenants, %zu users, %zu identity rules\n", call->edit.path,
           users->n_tenants, users->n_users, users->n_rules);
    return EXIT_SUCCESS;
}

static int usage_error(const char *what)
{
    fprintf(stderr, "keepctl: %s\n%s", what, usage_text);
    return EXIT_USAGE;
}

static const struct command *find_command(int n_words, char **words, int *n_used_out)
{
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
        const struct command *c = &commands[i];
        int n = c->verb != NULL ? 2 : 1;
        if (n_words < n || strcmp(words[0], c->noun) != 0 ||
            (c->verb != NULL && strcmp(words[1], c->verb) != 0))
            continue;
        *n_used_out = n;
        return c;
    }
    return NULL;
}

static int run_command(struct call *call, const struct command *command)
{
    const char *path = call_value(call, KEEPCTL_OPTION_TENANTS);
    if (command->needs == NEEDS_NOTHING)
        return command->run(call);
    if (path == NULL)
        return usage_error("--tenants FILE is missing");
    bool is_open =
        edit_open(&call->edit, path, command->needs >= CHANGES_FILE, command->needs == MAKES_FILE);
    int result = is_open ? command->run(call) : complain_edit(call);
    edit_close(&call->edit);
    return result;
}

static int parse_options(struct call *call, int argc, char **argv)
{
    int option;
    while ((option = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
        if (option == '?')
            return usage_error("unknown option, or an option without its value");
        if (option == KEEPCTL_OPTION_HELP) {
            fputs(usage_text, stdout);
            exit(EXIT_SUCCESS);
        }
        call->given |= 1U << option;
        call->values[option] = optarg;
    }
    return EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
    static struct call call;
    int n_used = 0;
    int result = parse_options(&call, argc, argv);
    if (result != EXIT_SUCCESS)
        return result;
    const struct command *command = find_command(argc - optind, argv + optind, &n_used);
    if (command == NULL)
        return usage_error("no such command");
    call.n_words = argc - optind - n_used;
    call.words = argv + optind + n_used;
    if (command->takes == ONE_NAME && call.n_words != 1)
        return usage_error("give one name");
    if (command->takes == NO_WORD && call.n_words != 0)
        return usage_error("too many words");
    if ((call.given & ~(command->options | OPTS_ANYWHERE)) != 0)
        return usage_error("an option does not belong to this command");
    call.name = command->takes == ONE_NAME ? call.words[0] : NULL;
    return run_command(&call, command);
}
