/* sections.h - where the sections of a tenants file begin and end.
 * Owns: nothing.   Thread: any.
 * Never: judges what stands in them; that is the parser's. */
#ifndef AUTH_SECTIONS_H
#define AUTH_SECTIONS_H

#include "base/bytes.h"
#include "base/must.h"

/* The place of a top section in a text that has passed the parser. */
MUST_USE bool section_find(const char *text, const char *kind, const char *title,
                           const char **start_out, const char **end_out);

/* Is every brace closed? libconfuse takes the end of the file for the end of a section, so that a
 * file that was cut off would pass. False: *line_out is where the open section begins. */
MUST_USE bool section_is_closed(const char *text, unsigned *line_out);

/* Turns comments into spaces, and keeps the lines: libconfuse counts the end of a comment's line
 * more than once. */
void sections_blank_comments(char *text);

#endif
