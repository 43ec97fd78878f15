#include "folder.h"
#include "log.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define OPEN_DIR (O_RDONLY | O_DIRECTORY | O_CLOEXEC)

enum status folder_errno(const char *what)
{
    log_error("store_failed", F("call", what), F("reason", strerror(errno)));
    return errno == ENOSPC || errno == EDQUOT || errno == EFBIG ? STATUS_STORAGE_FULL
                                                                : STATUS_UNAVAILABLE;
}

static void folder_init(struct folder *f)
{
    f->top = f->tmp = f->lock = -1;
    for (size_t i = 0; i < FOLDER_LEAVES; i++)
        f->leaf[i] = -1;
}

static void close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

void folder_close(struct folder *f)
{
    for (size_t i = 0; i < FOLDER_LEAVES; i++)
        close_fd(&f->leaf[i]);
    close_fd(&f->tmp);
    close_fd(&f->lock);
    close_fd(&f->top);
}

static void leaf_path(size_t i, char out[sizeof("blobs/a/b")])
{
    static const char digits[] = "0123456789abcdef";
    memcpy(out, "blobs/a/b", sizeof("blobs/a/b"));
    out[6] = digits[i >> 4];
    out[8] = digits[i & 15];
}

static bool make_dir(int at, const char *path)
{
    return mkdirat(at, path, 0700) == 0 || errno == EEXIST;
}

static bool make_tree(const struct folder *f)
{
    char path[sizeof("blobs/a/b")];
    if (!make_dir(f->top, "tmp") || !make_dir(f->top, "blobs"))
        return false;
    for (size_t i = 0; i < FOLDER_LEAVES; i++) {
        leaf_path(i, path);
        path[7] = '\0';
        if (i % 16 == 0 && !make_dir(f->top, path))
            return false;
        path[7] = '/';
        if (!make_dir(f->top, path))
            return false;
    }
    return syncfs(f->top) == 0; /* 273 folders durable in one call */
}

static bool open_tree(struct folder *f)
{
    char path[sizeof("blobs/a/b")];
    f->tmp = openat(f->top, "tmp", OPEN_DIR);
    if (f->tmp < 0)
        return false;
    for (size_t i = 0; i < FOLDER_LEAVES; i++) {
        leaf_path(i, path);
        f->leaf[i] = openat(f->top, path, OPEN_DIR);
        if (f->leaf[i] < 0)
            return false;
    }
    return true;
}

/* The lock goes with the process, however it ends. */
static enum status take_lock(struct folder *f, int flags, struct strbuf *why)
{
    f->lock = openat(f->top, "lock", O_RDWR | O_CLOEXEC | flags, 0600);
    if (f->lock >= 0 && flock(f->lock, LOCK_EX | LOCK_NB) == 0)
        return STATUS_OK;
    if (f->lock >= 0 && errno == EWOULDBLOCK) {
        strbuf_addstr(why, "another process serves this vault (its lock is held)");
        return STATUS_CONFLICT;
    }
    strbuf_addf(why, "lock: %s", strerror(errno));
    return STATUS_UNAVAILABLE;
}

static enum status failed(struct folder *f, const char *path, struct strbuf *why)
{
    if (why->len == 0)
        strbuf_addf(why, "%s: %s", path, strerror(errno));
    folder_close(f);
    return STATUS_UNAVAILABLE;
}

enum status folder_create(const char *path, struct folder *out, struct strbuf *why)
{
    folder_init(out);
    if (!make_dir(AT_FDCWD, path) || (out->top = open(path, OPEN_DIR)) < 0)
        return failed(out, path, why);
    enum status s = take_lock(out, O_CREAT, why);
    if (s == STATUS_OK && make_tree(out) && open_tree(out))
        return STATUS_OK;
    enum status other = failed(out, path, why);
    return s == STATUS_OK ? other : s;
}

enum status folder_open(const char *path, bool lock, struct folder *out, struct strbuf *why)
{
    folder_init(out);
    out->top = open(path, OPEN_DIR);
    if (out->top < 0)
        return failed(out, path, why);
    if (!folder_has(out, "keyring")) {
        strbuf_addf(why, "%s: no vault here (dicom-vault init makes one)", path);
        return failed(out, path, why);
    }
    if (faccessat(out->top, ".", W_OK, AT_EACCESS) != 0 || !open_tree(out) ||
        faccessat(out->tmp, ".", W_OK, AT_EACCESS) != 0)
        return failed(out, path, why);
    enum status s = lock ? take_lock(out, 0, why) : STATUS_OK;
    if (s != STATUS_OK)
        folder_close(out);
    return s;
}

bool folder_has(const struct folder *f, const char *name)
{
    return faccessat(f->top, name, F_OK, 0) == 0;
}

enum status folder_read(const struct folder *f, const char *name, size_t max, struct strbuf *out)
{
    int fd = openat(f->top, name, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return folder_errno("open");
    enum status s = STATUS_OK;
    for (ssize_t n = 1; s == STATUS_OK && n != 0;) {
        strbuf_reserve(out, 4096);
        n = read(fd, out->bytes + out->len, 4096);
        if (n < 0)
            s = folder_errno("read");
        else
            out->len += (size_t)n;
        if (out->len > max)
            s = STATUS_TOO_LARGE;
    }
    close(fd);
    return s;
}

enum status write_all(int fd, const void *bytes, size_t len)
{
    for (const char *p = bytes; len > 0;) {
        ssize_t n = write(fd, p, len);
        if (n < 0 && errno != EINTR)
            return folder_errno("write");
        if (n > 0) {
            p += n;
            len -= (size_t)n;
        }
    }
    return STATUS_OK;
}

ssize_t read_to_end(int fd, char *text, size_t max)
{
    size_t len = 0;
    for (ssize_t n = 1; n > 0 && len < max; len += (size_t)n) {
        n = read(fd, text + len, max - len);
        if (n < 0)
            return -1;
    }
    return (ssize_t)len;
}

enum status folder_write(const struct folder *f, const char *name, const void *bytes, size_t len)
{
    int fd = openat(f->tmp, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        return folder_errno("create");
    enum status s = write_all(fd, bytes, len);
    if (s == STATUS_OK &&
        (fsync(fd) != 0 || renameat(f->tmp, name, f->top, name) != 0 || fsync(f->top) != 0))
        s = folder_errno("replace");
    close(fd);
    return s;
}

enum status folder_room(const struct folder *f, uint64_t bytes)
{
    struct statvfs disk;
    if (fstatvfs(f->tmp, &disk) != 0)
        return folder_errno("fstatvfs");
    return (uint64_t)disk.f_bavail * disk.f_frsize < bytes ? STATUS_STORAGE_FULL : STATUS_OK;
}

int folder_leaf(const struct folder *f, const uint8_t id[OBJECT_ID])
{
    return f->leaf[id[0]];
}

static int lock_unlinks(const struct folder *f, int how)
{
    int fd = openat(f->top, "backup.lock", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0 || flock(fd, how) == 0)
        return fd;
    close(fd);
    return -1;
}

int folder_hold_unlinks(const struct folder *f)
{
    return lock_unlinks(f, LOCK_EX);
}

int folder_begin_unlinks(const struct folder *f, bool wait)
{
    return lock_unlinks(f, LOCK_SH | (wait ? 0 : LOCK_NB));
}

enum status folder_list(int dir, enum status (*each)(void *ctx, const uint8_t id[OBJECT_ID]),
                        void *ctx)
{
    uint8_t id[OBJECT_ID];
    int fd = openat(dir, ".", OPEN_DIR); /* fdopendir takes its descriptor over */
    DIR *entries = fd < 0 ? NULL : fdopendir(fd);
    if (!entries)
        return folder_errno("opendir");
    enum status s = STATUS_OK;
    for (struct dirent *e; s == STATUS_OK && (e = readdir(entries));)
        if (object_id_parse(e->d_name, id) == STATUS_OK)
            s = each(ctx, id);
    closedir(entries);
    return s;
}
