/* fsyncs of threads that wait at the same time, made as one (group.h). One alone gets fsync;
 * several get one syncfs of the whole file system, which costs little more than the slowest of
 * them unless much else is written to that disk. */
#pragma once
#include "group.h"

struct syncs {
    struct group group;
    int file_system; /* any descriptor on it; the caller's */
};

void syncs_init(struct syncs *s, int file_system);
void syncs_release(struct syncs *s);
/* As fsync(fd), of a file or folder on that file system: 0, or -1 with errno. Blocks; any thread.
 */
int syncs_fsync(struct syncs *s, int fd);
