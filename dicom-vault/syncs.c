#include "syncs.h"
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

struct sync {
    struct group_entry entry; /* first */
    int fd;
    int error;
};

/* syncfs tells an error to one caller only, whosever file it was of. So each file's own is asked of
 * its descriptor, which costs nothing once the bytes are out. */
static void sync_group(void *ctx, struct group_entry *first)
{
    const struct syncs *s = ctx;
    bool alone = !first->next;
    int error = (alone ? fsync(((struct sync *)first)->fd) : syncfs(s->file_system)) ? errno : 0;
    for (struct group_entry *e = first; e; e = e->next) {
        struct sync *one = (struct sync *)e;
        one->error = error;
        if (!alone && !error && sync_file_range(one->fd, 0, 0, SYNC_FILE_RANGE_WAIT_BEFORE) != 0)
            one->error = errno;
    }
}

void syncs_init(struct syncs *s, int file_system)
{
    s->file_system = file_system;
    group_init(&s->group, sync_group, s);
}

void syncs_release(struct syncs *s)
{
    group_release(&s->group);
}

int syncs_fsync(struct syncs *s, int fd)
{
    struct sync one = {.fd = fd};
    group_join(&s->group, &one.entry, -1);
    errno = one.error;
    return one.error ? -1 : 0;
}
