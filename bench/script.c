#include "bench/script.h"

#include <stdio.h>
#include <stdlib.h>

static bool read_file(struct script *script, FILE *file)
{
    uint64_t sizes[2], n_replies = 0;
    if (fread(&script->n_windows, 8, 1, file) != 1 || script->n_windows < 1 ||
        script->n_windows > SCRIPT_WINDOWS_MAX)
        return false;
    for (uint64_t i = 0; i < script->n_windows; i++) {
        if (fread(sizes, 8, 2, file) != 2 || sizes[0] == 0)
            return false;
        script->n_request[i] = sizes[0];
        script->reply[i].n = sizes[1];
        n_replies += sizes[1];
    }
    script->bytes = malloc(n_replies + 1);
    if (script->bytes == NULL || fread(script->bytes, 1, n_replies, file) != n_replies)
        return false;
    const uint8_t *at = script->bytes;
    for (uint64_t i = 0; i < script->n_windows; i++) {
        script->reply[i].p = at;
        at += script->reply[i].n;
    }
    return true;
}

bool script_read(struct script *script, const char *path)
{
    *script = (struct script){0};
    FILE *file = fopen(path, "rb");
    if (file == NULL)
        return false;
    bool is_read = read_file(script, file);
    fclose(file);
    if (!is_read)
        script_fini(script);
    return is_read;
}

void script_fini(struct script *script)
{
    free(script->bytes);
    *script = (struct script){0};
}
