#include "auth/users.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define NAME_TABLE_FIRST 64

void users_error(struct auth_error *error_out, const char *path, unsigned line, const char *format,
                 ...)
{
    char reason[AUTH_TEXT_MAX / 2];
    va_list ap;
    va_start(ap, format);
    vsnprintf(reason, sizeof reason, format, ap);
    va_end(ap);
    error_out->line = line;
    snprintf(error_out->file, sizeof error_out->file, "%s", path);
    if (line > 0)
        snprintf(error_out->text, sizeof error_out->text, "%.200s:%u: %s", path, line, reason);
    else
        snprintf(error_out->text, sizeof error_out->text, "%.200s: %s", path, reason);
}

/* FNV-1a: the names come from the operator's own file, and lookups by strangers cannot make the
 * table grow. */
static size_t name_hash(struct slice name)
{
    uint64_t h = 0xcbf29ce484222325ULL;
    for (size_t i = 0; i < name.n; i++)
        h = (h ^ name.p[i]) * 0x100000001b3ULL;
    return (size_t)(h ^ (h >> 32));
}

static bool table_grow(struct name_table *table, size_t n_slots,
                       const char *(*name_of)(const void *, uint32_t), const void *owner)
{
    uint32_t *slots = calloc(n_slots, sizeof *slots);
    if (slots == NULL)
        return false;
    for (size_t i = 0; i < table->n_slots; i++) {
        if (table->slots[i] == 0)
            continue;
        size_t at = name_hash(slice_str(name_of(owner, table->slots[i] - 1))) & (n_slots - 1);
        while (slots[at] != 0)
            at = (at + 1) & (n_slots - 1);
        slots[at] = table->slots[i];
    }
    free(table->slots);
    table->slots = slots;
    table->n_slots = n_slots;
    return true;
}

bool name_table_find(const struct name_table *table, struct slice name,
                     const char *(*name_of)(const void *, uint32_t), const void *owner,
                     uint32_t *index_out)
{
    if (table->n_slots == 0)
        return false;
    size_t at = name_hash(name) & (table->n_slots - 1);
    for (; table->slots[at] != 0; at = (at + 1) & (table->n_slots - 1)) {
        if (slice_is(name, name_of(owner, table->slots[at] - 1))) {
            *index_out = table->slots[at] - 1;
            return true;
        }
    }
    return false;
}

bool name_table_add(struct name_table *table, struct slice name, uint32_t index,
                    const char *(*name_of)(const void *, uint32_t), const void *owner,
                    bool *is_double_out)
{
    uint32_t there;
    *is_double_out = name_table_find(table, name, name_of, owner, &there);
    if (*is_double_out)
        return false;
    /* At most half full. Indexes are dense, so that index + 1 is the number of names. */
    if (((size_t)index + 1) * 2 > table->n_slots) {
        size_t n = table->n_slots == 0 ? NAME_TABLE_FIRST : table->n_slots * 2;
        if (!table_grow(table, n, name_of, owner))
            return false;
    }
    size_t at = name_hash(name) & (table->n_slots - 1);
    while (table->slots[at] != 0)
        at = (at + 1) & (table->n_slots - 1);
    table->slots[at] = index + 1;
    return true;
}

static const char *user_name_of(const void *owner, uint32_t index)
{
    return ((const struct users *)owner)->users[index].name;
}

static const char *text_name_of(const void *owner, uint32_t index)
{
    return ((const struct users *)owner)->text[index].name;
}

static const char *tenant_name_of(const void *owner, uint32_t index)
{
    return ((const struct users *)owner)->tenants[index].name;
}

struct user *users_find(const struct users *users, struct slice name)
{
    uint32_t index;
    if (!name_table_find(&users->user_names, name, user_name_of, users, &index))
        return NULL;
    return &users->users[index];
}

const struct text_user *users_find_text(const struct users *users, struct slice name)
{
    uint32_t index;
    if (!name_table_find(&users->text_names, name, text_name_of, users, &index))
        return NULL;
    return &users->text[index];
}

const struct auth_tenant *users_find_tenant(const struct users *users, struct slice name)
{
    uint32_t index;
    if (!name_table_find(&users->tenant_names, name, tenant_name_of, users, &index))
        return NULL;
    return &users->tenants[index];
}

/* One UTF-8 sequence without overlong forms and surrogates; 0 when there is none. */
static size_t utf8_length(const uint8_t *p, size_t n)
{
    if (p[0] < 0x80)
        return 1;
    size_t need = p[0] >= 0xf0 ? 4 : p[0] >= 0xe0 ? 3 : 2;
    if (p[0] < 0xc2 || p[0] > 0xf4 || need > n)
        return 0;
    for (size_t i = 1; i < need; i++) {
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    }
    bool is_bad = (p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) ||
                  (p[0] == 0xf0 && p[1] < 0x90) || (p[0] == 0xf4 && p[1] > 0x8f);
    return is_bad ? 0 : need;
}

const char *users_name_fault(struct slice name)
{
    if (name.n == 0)
        return "the name is empty";
    if (name.n > AUTH_NAME_MAX)
        return "the name is longer than 128 bytes";
    if (name.p[0] == ' ' || name.p[name.n - 1] == ' ')
        return "the name begins or ends with a space";
    for (size_t i = 0; i < name.n;) {
        if (name.p[i] < 0x20 || name.p[i] == 0x7f)
            return "the name holds a control byte";
        size_t n = utf8_length(name.p + i, name.n - i);
        if (n == 0)
            return "the name is not UTF-8";
        i += n;
    }
    return NULL;
}

bool user_secret_is_valid(const struct user_secret *secret, int64_t wall_s)
{
    return wall_s >= secret->not_before && (secret->not_after == 0 || wall_s < secret->not_after);
}

const struct verifier *user_secret_plain(const struct user_secret *secret)
{
    const struct verifier *best = &secret->verifiers[0];
    for (unsigned i = 1; i < secret->n_verifiers; i++) {
        if (secret->verifiers[i].hash < best->hash)
            best = &secret->verifiers[i];
    }
    return best;
}

const struct verifier *user_scram(const struct user *user, enum verifier_hash hash, int64_t wall_s,
                                  size_t *secret_out)
{
    for (size_t i = user->n_secrets; i-- > 0;) {
        const struct user_secret *secret = &user->secrets[i];
        if (!user_secret_is_valid(secret, wall_s))
            continue;
        for (unsigned v = 0; v < secret->n_verifiers; v++) {
            if (secret->verifiers[v].hash == hash) {
                *secret_out = i;
                return &secret->verifiers[v];
            }
        }
    }
    return NULL;
}

static char *slurp(int fd, size_t n_max, size_t *n_out)
{
    size_t n = 0, capacity = 65536;
    char *text = malloc(capacity + 1);
    while (text != NULL) {
        ssize_t got = read(fd, text + n, capacity - n);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0) {
            if (got < 0)
                break;
            text[n] = '\0';
            *n_out = n;
            return text;
        }
        n += (size_t)got;
        if (n > n_max) {
            errno = EFBIG;
            break;
        }
        if (n < capacity)
            continue;
        /* Not realloc: it would leave a copy of passwords behind. */
        char *larger = malloc(capacity * 2 + 1);
        if (larger != NULL)
            memcpy(larger, text, n);
        secret_wipe(text, n);
        free(text);
        text = larger;
        capacity *= 2;
    }
    if (text == NULL)
        errno = ENOMEM;
    else
        secret_wipe(text, n);
    free(text);
    return NULL;
}

char *users_read_file(const char *path, size_t n_max, size_t *n_out, struct auth_error *error_out)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) {
        users_error(error_out, path, 0, "cannot be opened: %s", strerror(errno));
        return NULL;
    }
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
        users_error(error_out, path, 0, "is not a regular file");
        close(fd);
        return NULL;
    }
    char *text = slurp(fd, n_max, n_out);
    if (text == NULL)
        users_error(error_out, path, 0, "cannot be read: %s", strerror(errno));
    close(fd);
    return text;
}

/* What a failing PLAIN check costs for this user: one derivation for each different salt. */
static uint64_t plain_work_of(const struct user *user)
{
    uint64_t work = 0;
    for (size_t i = 0; i < user->n_secrets; i++) {
        const struct verifier *mine = user_secret_plain(&user->secrets[i]);
        bool is_shared = false;
        for (size_t j = 0; j < i && !is_shared; j++)
            is_shared = verifier_shares_derivation(mine, user_secret_plain(&user->secrets[j]));
        if (!is_shared)
            work += mine->iterations;
    }
    return work;
}

static void summarize(struct users *users)
{
    users->iterations = VERIFIER_ITERATIONS;
    bool has_first = false;
    for (size_t i = 0; i < users->n_users; i++) {
        const struct user *user = &users->users[i];
        uint64_t work = plain_work_of(user);
        if (work > users->plain_work)
            users->plain_work = work;
        for (size_t s = 0; s < user->n_secrets; s++) {
            for (unsigned v = 0; v < user->secrets[s].n_verifiers; v++) {
                const struct verifier *verifier = &user->secrets[s].verifiers[v];
                users->has_verifier[verifier->hash] = true;
                if (!has_first)
                    users->iterations = verifier->iterations;
                has_first = true;
            }
        }
    }
}

static bool users_init(struct users *users)
{
    bool is_double;
    atomic_init(&users->references, 1);
    if (pthread_mutex_init(&users->proven_lock, NULL) != 0)
        return false;
    users->tenants = calloc(1, sizeof *users->tenants);
    if (users->tenants == NULL)
        return false;
    users->n_tenants = 1;
    memcpy(users->tenants[0].name, "default", sizeof "default");
    return name_table_add(&users->tenant_names, SLICE("default"), 0, tenant_name_of, users,
                          &is_double);
}

struct users *users_load(const char *tenants_path, const char *text_path,
                         const struct users_keys *keys, struct auth_error *error_out)
{
    struct users *users = calloc(1, sizeof *users);
    if (users == NULL || !users_init(users)) {
        users_error(error_out, tenants_path != NULL ? tenants_path : "users", 0, "out of memory");
        goto fail;
    }
    users->has_file = tenants_path != NULL;
    if (tenants_path != NULL && !tenants_file_load(users, tenants_path, error_out))
        goto fail;
    if (text_path != NULL && !text_file_load(users, text_path, keys, error_out))
        goto fail;
    summarize(users);
    return users;
fail:
    users_drop(&users);
    return NULL;
}

bool users_guarantees_fit(const struct users *users, const struct auth_memory *memory,
                          const char *path, struct auth_error *error_out)
{
    uint64_t n_units = 0;
    if (memory->unit == 0)
        return true;
    for (size_t i = 0; i < users->n_tenants; i++) {
        const struct auth_tenant *tenant = &users->tenants[i];
        n_units += (tenant->memory_min + memory->unit - 1) / memory->unit;
        if (n_units <= memory->total / memory->unit)
            continue;
        users_error(error_out, path, tenant->line_of_min,
                    "the tenants' memory-min, in whole segments of %llu KiB, add up to more than "
                    "the %llu MiB of the cache: tenant \"%s\" goes beyond it",
                    (unsigned long long)memory->unit >> 10, (unsigned long long)memory->total >> 20,
                    tenant->name);
        return false;
    }
    return true;
}

void users_take(struct users *users)
{
    atomic_fetch_add_explicit(&users->references, 1, memory_order_relaxed);
}

static void users_free(struct users *users)
{
    for (size_t i = 0; i < users->n_users; i++) {
        struct user *user = &users->users[i];
        secret_wipe(user->secrets, user->n_secrets * sizeof *user->secrets);
        secret_wipe(user->proven_tag, sizeof user->proven_tag);
        free(user->secrets);
        free(user->name);
    }
    for (size_t i = 0; i < users->n_text; i++) {
        secret_wipe(users->text[i].tag, sizeof users->text[i].tag);
        free(users->text[i].name);
    }
    for (size_t i = 0; i < users->n_rules; i++)
        free(users->rules[i].pattern);
    free(users->users);
    if (users->n_pwdb > 0)
        secret_wipe(users->pwdb, users->n_pwdb * sizeof *users->pwdb);
    free(users->pwdb);
    free(users->text);
    free(users->rules);
    free(users->tenants);
    free(users->user_names.slots);
    free(users->text_names.slots);
    free(users->tenant_names.slots);
    pthread_mutex_destroy(&users->proven_lock);
    free(users);
}

void users_drop(struct users **users)
{
    struct users *u = *users;
    *users = NULL;
    if (u == NULL || atomic_fetch_sub_explicit(&u->references, 1, memory_order_acq_rel) != 1)
        return;
    users_free(u);
}
