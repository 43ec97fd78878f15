/* For LD_PRELOAD: counts the calls that change files, and ends the process by SIGKILL before one
 * of them, as a crash at that step would. While the file CRASH_ARM exists: its content is the
 * number of the call to die at (0: none), and every call before it is appended to CRASH_TRACE.
 * While the file SYNC_FAILS exists, SQLite's log cannot be synced. SYNC_MS: a slow disk, each sync
 * takes that long more. CLOCK_BEHIND_S: the system's clock, not the monotonic one, is that many
 * seconds late. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static atomic_int steps;

static long armed(void)
{
    char text[16] = "";
    const char *path = getenv("CRASH_ARM");
    int fd = path ? (int)syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC) : -1;
    if (fd < 0)
        return -1;
    long got = syscall(SYS_read, fd, text, sizeof(text) - 1);
    close(fd);
    return got < 0 ? -1 : atol(text);
}

static void trace(const char *what, const char *path)
{
    char line[PATH_MAX + 64];
    int len = snprintf(line, sizeof(line), "%s %s\n", what, path);
    int fd = (int)syscall(SYS_openat, AT_FDCWD, getenv("CRASH_TRACE"),
                          O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        return;
    syscall(SYS_write, fd, line, len);
    close(fd);
}

static void step(const char *what, const char *path)
{
    long at = armed();
    if (at < 0)
        return;
    if (atomic_fetch_add(&steps, 1) + 1 == at)
        kill(getpid(), SIGKILL);
    trace(what, path);
}

/* Sockets, pipes and the log are no steps. */
static void step_fd(const char *what, int fd)
{
    struct stat file;
    char link[32], path[PATH_MAX];
    if (fd <= 2 || fstat(fd, &file) != 0 || (!S_ISREG(file.st_mode) && !S_ISDIR(file.st_mode)))
        return;
    snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    ssize_t len = readlink(link, path, sizeof(path) - 1);
    path[len < 0 ? 0 : len] = '\0';
    step(what, path);
}

ssize_t write(int fd, const void *bytes, size_t len)
{
    step_fd("write", fd);
    return syscall(SYS_write, fd, bytes, len);
}

ssize_t pwrite(int fd, const void *bytes, size_t len, off_t at)
{
    step_fd("write", fd);
    return syscall(SYS_pwrite64, fd, bytes, len, at);
}

ssize_t pwrite64(int fd, const void *bytes, size_t len, off64_t at)
{
    step_fd("write", fd);
    return syscall(SYS_pwrite64, fd, bytes, len, at);
}

static void before_sync(int fd)
{
    const char *ms = getenv("SYNC_MS");
    step_fd("sync", fd);
    if (ms)
        usleep((useconds_t)atoi(ms) * 1000);
}

int fsync(int fd)
{
    before_sync(fd);
    return (int)syscall(SYS_fsync, fd);
}

int fdatasync(int fd)
{
    before_sync(fd);
    if (getenv("SYNC_FAILS") && access(getenv("SYNC_FAILS"), F_OK) == 0) {
        errno = EIO;
        return -1;
    }
    return (int)syscall(SYS_fdatasync, fd);
}

int syncfs(int fd)
{
    before_sync(fd);
    return (int)syscall(SYS_syncfs, fd);
}

int ftruncate(int fd, off_t len)
{
    step_fd("truncate", fd);
    return (int)syscall(SYS_ftruncate, fd, len);
}

int ftruncate64(int fd, off64_t len)
{
    step_fd("truncate", fd);
    return (int)syscall(SYS_ftruncate, fd, len);
}

int renameat(int from_dir, const char *from, int to_dir, const char *to)
{
    step("rename", to);
    return (int)syscall(SYS_renameat2, from_dir, from, to_dir, to, 0);
}

int linkat(int from_dir, const char *from, int to_dir, const char *to, int flags)
{
    step("link", to);
    return (int)syscall(SYS_linkat, from_dir, from, to_dir, to, flags);
}

int unlinkat(int dir, const char *path, int flags)
{
    step("unlink", path);
    return (int)syscall(SYS_unlinkat, dir, path, flags);
}

int clock_gettime(clockid_t clock, struct timespec *now)
{
    const char *behind = getenv("CLOCK_BEHIND_S");
    int result = (int)syscall(SYS_clock_gettime, clock, now);
    if (result == 0 && clock == CLOCK_REALTIME && behind)
        now->tv_sec -= atol(behind);
    return result;
}
