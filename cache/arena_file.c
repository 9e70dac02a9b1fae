#include "cache/arena_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static const char magic[16] = "keepd memory 1\n";

static bool fail(const struct arena_file *file, const char *path, const char *what)
{
    snprintf(file->error, file->n_error, "%s: %s", path, what);
    return false;
}

static bool fail_errno(const struct arena_file *file, const char *path)
{
    return fail(file, path, strerror(errno));
}

/* ---- opening ---- */

static char *join(const char *path, const char *suffix)
{
    size_t n = strlen(path) + strlen(suffix) + 1;
    char *joined = malloc(n);
    if (joined != NULL)
        snprintf(joined, n, "%s%s", path, suffix);
    return joined;
}

static bool check_owner(struct arena_file *file)
{
    struct stat status;
    if (fstat(file->fd, &status) != 0)
        return fail_errno(file, file->path);
    if (!S_ISREG(status.st_mode))
        return fail(file, file->path, "not a regular file");
    if (status.st_uid != geteuid())
        return fail(file, file->path, "belongs to another user");
    if ((status.st_mode & 077) != 0 && fchmod(file->fd, 0600) != 0)
        return fail_errno(file, file->path);
    return true;
}

/* An empty file becomes ours; another one without our magic may be dear to somebody. */
static bool check_magic(struct arena_file *file)
{
    char found[sizeof magic];
    ssize_t n = pread(file->fd, found, sizeof found, 0);
    if (n == 0 && pwrite(file->fd, magic, sizeof magic, 0) == (ssize_t)sizeof magic)
        return true;
    if (n <= 0)
        return fail_errno(file, file->path);
    if (n < (ssize_t)sizeof found || memcmp(found, magic, sizeof magic) != 0)
        return fail(file, file->path, "not a memory file of keepd; it is left alone");
    return true;
}

static bool take_file(struct arena_file *file)
{
    file->fd = open(file->path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (file->fd < 0)
        return fail_errno(file, file->path);
    if (flock(file->fd, LOCK_EX | LOCK_NB) != 0)
        return fail(file, file->path,
                    errno == EWOULDBLOCK ? "in use by another process" : strerror(errno));
    return check_owner(file) && check_magic(file);
}

bool arena_file_open(struct arena_file *file, const char *path, char *error, size_t n_error)
{
    *file = (struct arena_file){.fd = -1, .error = error, .n_error = n_error};
    file->path = strdup(path);
    file->state_path = join(path, ".meta");
    bool is_open = file->path != NULL && file->state_path != NULL
                       ? take_file(file)
                       : fail(file, path, "out of memory");
    if (!is_open)
        arena_file_close(file);
    return is_open;
}

void arena_file_close(struct arena_file *file)
{
    if (file->path != NULL && file->fd >= 0)
        close(file->fd);
    free(file->path);
    free(file->state_path);
    *file = (struct arena_file){.fd = -1};
}

/* Blocks are taken now: a full disk is an error at the start, not a SIGBUS later. Those that are
 * there already are not asked for again, since a tmpfs would go through all of them. */
static bool allocate(const struct arena_file *file, off_t size)
{
    struct stat status;
    if (fstat(file->fd, &status) != 0)
        return false;
    off_t n = size - (off_t)ARENA_FILE_HEAD;
    if (status.st_size == size && (off_t)status.st_blocks >= n / 512)
        return true;
    return ftruncate(file->fd, size) == 0 &&
           (fallocate(file->fd, 0, (off_t)ARENA_FILE_HEAD, n) == 0 || errno == EOPNOTSUPP);
}

void *arena_file_map(struct arena_file *file, size_t n)
{
    void *at = MAP_FAILED;
    if (allocate(file, (off_t)(ARENA_FILE_HEAD + n)))
        at = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_SHARED, file->fd, (off_t)ARENA_FILE_HEAD);
    if (at != MAP_FAILED)
        return at;
    (void)fail_errno(file, file->path);
    return NULL;
}

/* ---- the mark ---- */

bool arena_file_read_mark(const struct arena_file *file, uint8_t mark[ARENA_MARK_SIZE])
{
    return pread(file->fd, mark, ARENA_MARK_SIZE, sizeof magic) == ARENA_MARK_SIZE;
}

bool arena_file_write_mark(struct arena_file *file, const uint8_t mark[ARENA_MARK_SIZE])
{
    return pwrite(file->fd, mark, ARENA_MARK_SIZE, sizeof magic) == ARENA_MARK_SIZE ||
           fail_errno(file, file->path);
}

/* ---- the state ---- */

static bool read_all(int fd, uint8_t *p, size_t n)
{
    while (n > 0) {
        ssize_t part = read(fd, p, n);
        if (part <= 0)
            return false;
        p += part;
        n -= (size_t)part;
    }
    return true;
}

static bool write_all(int fd, struct slice bytes)
{
    while (bytes.n > 0) {
        ssize_t part = write(fd, bytes.p, bytes.n);
        if (part < 0 && errno == EINTR)
            continue;
        if (part <= 0)
            return false;
        bytes = slice_of(bytes.p + part, bytes.n - (size_t)part);
    }
    return true;
}

/* A rename or removal lasts when its folder is on the disk. */
static void sync_folder(const char *path)
{
    char *folder = strdup(path);
    if (folder == NULL)
        return;
    char *slash = strrchr(folder, '/');
    if (slash != NULL)
        slash[slash == folder ? 1 : 0] = '\0';
    int fd = open(slash != NULL ? folder : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0) {
        (void)fsync(fd);
        close(fd);
    }
    free(folder);
}

static bool read_state(int fd, size_t n_max, uint8_t **p_out, size_t *n_out)
{
    struct stat status;
    if (fstat(fd, &status) != 0 || !S_ISREG(status.st_mode) || status.st_uid != geteuid() ||
        status.st_size < 0 || (uint64_t)status.st_size > n_max)
        return false;
    size_t n = (size_t)status.st_size;
    uint8_t *p = malloc(n + 1);
    if (p == NULL || !read_all(fd, p, n)) {
        free(p);
        return false;
    }
    *p_out = p;
    *n_out = n;
    return true;
}

bool arena_file_take_state(struct arena_file *file, size_t n_max, uint8_t **p_out, size_t *n_out)
{
    *p_out = NULL;
    *n_out = 0;
    int fd = open(file->state_path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0)
        return errno == ENOENT;
    bool is_read = read_state(fd, n_max, p_out, n_out);
    close(fd);
    if (unlink(file->state_path) != 0) { /* it would outlive what it describes */
        free(*p_out);
        *p_out = NULL;
        return false;
    }
    sync_folder(file->state_path);
    return is_read;
}

static bool put(struct arena_file *file, const char *temporary, struct slice state)
{
    (void)unlink(temporary);
    int fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return fail_errno(file, temporary);
    bool is_written = write_all(fd, state) && fsync(fd) == 0;
    if (!is_written)
        (void)fail_errno(file, temporary);
    if (close(fd) != 0 && is_written)
        is_written = fail_errno(file, temporary);
    if (is_written && rename(temporary, file->state_path) != 0)
        is_written = fail_errno(file, file->state_path);
    if (!is_written)
        (void)unlink(temporary);
    return is_written;
}

bool arena_file_put_state(struct arena_file *file, struct slice state)
{
    char *temporary = join(file->state_path, ".new");
    if (temporary == NULL)
        return fail(file, file->state_path, "out of memory");
    bool is_put = put(file, temporary, state);
    if (is_put)
        sync_folder(file->state_path);
    free(temporary);
    return is_put;
}
