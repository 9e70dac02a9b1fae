#include "auth/remembered.h"

#include "base/secret.h"

#include <linux/magic.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#define N_SLOTS 1024u /* a power of two; a tag's first bytes say which */

struct slot {
    bool is_used;
    uint8_t tag[VERIFIER_TAG_SIZE];
};

struct remembered {
    char *path;
    pthread_mutex_t lock; /* covers what follows */
    struct file_mark mark;
    struct slot slots[N_SLOTS];
};

struct remembered *remembered_create(const char *path)
{
    struct remembered *remembered = calloc(1, sizeof *remembered);
    if (remembered == NULL)
        return NULL;
    remembered->path = strdup(path);
    if (remembered->path == NULL || pthread_mutex_init(&remembered->lock, NULL) != 0) {
        free(remembered->path);
        free(remembered);
        return NULL;
    }
    return remembered;
}

void remembered_destroy(struct remembered **remembered)
{
    struct remembered *r = *remembered;
    if (r == NULL)
        return;
    *remembered = NULL;
    pthread_mutex_destroy(&r->lock);
    free(r->path);
    secret_wipe(r, sizeof *r);
    free(r);
}

static bool is_same_time(struct timespec a, struct timespec b)
{
    return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

static bool is_same(const struct file_mark *a, const struct file_mark *b)
{
    return a->device == b->device && a->inode == b->inode && a->size == b->size &&
           is_same_time(a->modified, b->modified) && is_same_time(a->changed, b->changed);
}

bool remembered_begin(const struct remembered *remembered, struct file_mark *mark_out)
{
    struct stat st;
    if (stat(remembered->path, &st) != 0 || !S_ISREG(st.st_mode))
        return false;
    *mark_out = (struct file_mark){.device = st.st_dev,
                                   .inode = st.st_ino,
                                   .size = st.st_size,
                                   .modified = st.st_mtim,
                                   .changed = st.st_ctim};
    return true;
}

static struct slot *slot_of(struct remembered *remembered, const uint8_t *tag)
{
    return &remembered->slots[(tag[0] | (unsigned)tag[1] << 8) % N_SLOTS];
}

/* A worker asks for the times: that must not wait for another machine. */
static bool is_local(const char *path)
{
    struct statfs fs;
    if (statfs(path, &fs) != 0)
        return false;
    switch ((unsigned long)fs.f_type & 0xffffffffUL) {
    case AFS_SUPER_MAGIC:
    case CEPH_SUPER_MAGIC:
    case CIFS_SUPER_MAGIC:
    case CODA_SUPER_MAGIC:
    case FUSE_SUPER_MAGIC:
    case NFS_SUPER_MAGIC:
    case SMB_SUPER_MAGIC:
    case SMB2_SUPER_MAGIC:
    case V9FS_MAGIC:
        return false;
    default:
        return true;
    }
}

/* With the lock. */
static void forget(struct remembered *remembered)
{
    secret_wipe(remembered->slots, sizeof remembered->slots);
}

void remembered_keep(struct remembered *remembered, const uint8_t tag[VERIFIER_TAG_SIZE],
                     const struct file_mark *mark, int64_t wall_s)
{
    struct file_mark now;
    int64_t oldest = wall_s - REMEMBERED_AGE_S;
    if (!remembered_begin(remembered, &now) || !is_same(&now, mark) ||
        mark->modified.tv_sec >= oldest || mark->changed.tv_sec >= oldest ||
        !is_local(remembered->path))
        return;
    pthread_mutex_lock(&remembered->lock);
    if (!is_same(&remembered->mark, mark)) {
        forget(remembered);
        remembered->mark = *mark;
    }
    struct slot *slot = slot_of(remembered, tag);
    slot->is_used = true;
    memcpy(slot->tag, tag, VERIFIER_TAG_SIZE);
    pthread_mutex_unlock(&remembered->lock);
}

bool remembered_holds(struct remembered *remembered, const uint8_t tag[VERIFIER_TAG_SIZE])
{
    struct file_mark now;
    if (!remembered_begin(remembered, &now))
        return false;
    pthread_mutex_lock(&remembered->lock);
    const struct slot *slot = slot_of(remembered, tag);
    bool is_there =
        slot->is_used && is_same(&remembered->mark, &now) &&
        secret_equal(slice_of(tag, VERIFIER_TAG_SIZE), slice_of(slot->tag, VERIFIER_TAG_SIZE));
    pthread_mutex_unlock(&remembered->lock);
    return is_there;
}

void remembered_forget(struct remembered *remembered)
{
    pthread_mutex_lock(&remembered->lock);
    forget(remembered);
    pthread_mutex_unlock(&remembered->lock);
}
