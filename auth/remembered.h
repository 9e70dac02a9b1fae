/* remembered.h - passwords that sasldb has proven, for as long as its file stays as it is.
 * Owns: a table of fixed size: keyed tags of names with their passwords, never a password.
 * Thread: any.
 * Never: holds a tag of a file that may have changed since the check: one changed less than
 *        REMEMBERED_AGE_S ago is not trusted to show a further change by its times. */
#ifndef AUTH_REMEMBERED_H
#define AUTH_REMEMBERED_H

#include "auth/verifier.h"

#include <time.h>

#define REMEMBERED_AGE_S 2

struct remembered;

/* What of a file changes with its content. */
struct file_mark {
    uint64_t device;
    uint64_t inode;
    int64_t size;
    struct timespec modified;
    struct timespec changed;
};

/* NULL: memory. */
MUST_USE struct remembered *remembered_create(const char *path);
void remembered_destroy(struct remembered **remembered); /* accepts NULL, clears */

/* Before a check. False: there is no such file, and nothing to keep. */
MUST_USE bool remembered_begin(const struct remembered *remembered, struct file_mark *mark_out);

/* After a check that has proven it: kept if the file is still that of the mark, not changed lately,
 * and not on a network or in another process (FUSE), which a worker would have to wait for. */
void remembered_keep(struct remembered *remembered, const uint8_t tag[VERIFIER_TAG_SIZE],
                     const struct file_mark *mark, int64_t wall_s);

/* Was it proven, and is the file the same? */
MUST_USE bool remembered_holds(struct remembered *remembered, const uint8_t tag[VERIFIER_TAG_SIZE]);

void remembered_forget(struct remembered *remembered);

#endif
