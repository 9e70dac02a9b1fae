/* edit.h - changes to the tenants file, for keepctl.
 * Owns: the text while it is edited, and a lock against other editors.
 * Thread: one.
 * Never: leaves a half-written file; writes a file that does not pass the server's own check; keeps
 * comments inside a section that it replaces. */
#ifndef AUTH_EDIT_H
#define AUTH_EDIT_H

#include "auth/users.h"

struct edit {
    char path[4096]; /* links followed */
    int lock_fd;     /* the folder, locked */
    char *text;      /* NULL when the file does not exist yet */
    size_t n;
    struct users *users; /* what the text says */
    struct auth_error error;
};

/* Locks (waiting for another editor), reads and checks. may_create: a missing file is an empty one.
 * False: edit->error tells; edit_close is needed all the same. */
MUST_USE bool edit_open(struct edit *edit, const char *path, bool is_for_writing, bool may_create);

/* Is there a section of this kind and title? */
bool edit_has(const struct edit *edit, const char *kind, const char *title);

/* Replaces the section, or appends it when there is none; text NULL removes it. */
MUST_USE bool edit_put(struct edit *edit, const char *kind, const char *title, const char *text);

/* Checks what came out and puts it in the place of the old file (fsync, rename). */
MUST_USE bool edit_save(struct edit *edit);

/* Unlocks and frees, also after an edit_open that failed. */
void edit_close(struct edit *edit);

/* Names that need no quoting rules: no quote, backslash or dollar. NULL: good. */
const char *edit_name_fault(const char *name);

/* The sections' text; the caller frees it. NULL: memory. */
char *edit_render_tenant(const struct auth_tenant *tenant);
char *edit_render_user(const struct users *users, const struct user *user);

/* "read,write,..."; out has 80 bytes. */
void edit_rights_text(uint32_t rights, const char *separator, char *out);
/* Words separated by commas or spaces; false at one that is no right. */
MUST_USE bool edit_rights_parse(const char *list, uint32_t *rights_out);

#endif
