/* Catch what is written to a descriptor, such as stderr. */
#pragma once
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

struct capture {
    int fd, saved, file;
};

static inline struct capture capture_begin(int fd)
{
    fflush(NULL);
    struct capture c = {fd, dup(fd), memfd_create("capture", 0)};
    dup2(c.file, fd);
    return c;
}

/* Restore the descriptor; what was written, cut to `size`, comes back in `out` as text. */
static inline size_t capture_end(struct capture *c, char *out, size_t size)
{
    fflush(NULL);
    dup2(c->saved, c->fd);
    ssize_t n = pread(c->file, out, size - 1, 0);
    size_t len = n > 0 ? (size_t)n : 0;
    out[len] = '\0';
    close(c->saved);
    close(c->file);
    return len;
}
