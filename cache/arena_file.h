/* arena_file.h - the file that a cache with -e has its items in, and the state saved beside it.
 * Owns: the descriptor with its lock, and both paths.   Thread: the one that creates or saves.
 * Never: touches a file that is not a memory file, or one that another process has locked. */
#ifndef CACHE_ARENA_FILE_H
#define CACHE_ARENA_FILE_H

#include "base/bytes.h"
#include "base/must.h"

/* Bytes before the arena: one huge page, of which only the first words are used. */
#define ARENA_FILE_HEAD ((size_t)2 << 20)
#define ARENA_MARK_SIZE 16

struct arena_file {
    int fd;           /* -1 or 0 in a zeroed struct: none; see arena_file_is_open */
    char *path;       /* NULL: none */
    char *state_path; /* path with ".meta" behind it */
    char *error;      /* the caller's of arena_file_open */
    size_t n_error;
};

static inline bool arena_file_is_open(const struct arena_file *file)
{
    return file->path != NULL;
}

/* Opens or creates the file, for its owner only, and locks it. False: error says why; it is used by
 * the other calls as well. */
MUST_USE bool arena_file_open(struct arena_file *file, const char *path, char *error,
                              size_t n_error);
void arena_file_close(struct arena_file *file);

/* Gives the file its size and its blocks. NULL: error. */
MUST_USE void *arena_file_map(struct arena_file *file, size_t n);

/* The mark ties the arena to the state saved beside it: both bear the same, or none is of use. */
MUST_USE bool arena_file_read_mark(const struct arena_file *file, uint8_t mark[ARENA_MARK_SIZE]);
MUST_USE bool arena_file_write_mark(struct arena_file *file, const uint8_t mark[ARENA_MARK_SIZE]);

/* The saved state, allocated, and NULL with n 0 if there is none; afterwards there is none. False:
 * there is one that cannot be read or is larger than n_max. */
MUST_USE bool arena_file_take_state(struct arena_file *file, size_t n_max, uint8_t **p_out,
                                    size_t *n_out);
/* All of it or nothing. False: error. */
MUST_USE bool arena_file_put_state(struct arena_file *file, struct slice state);

#endif
