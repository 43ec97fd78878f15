#include "demo.h"
#include "fault.h"
#include "object.h"
#include "strbuf.h"
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *folder;

void demo_init(const char *data)
{
    folder = data;
}

static bool flip(int fd)
{
    struct stat st;
    uint8_t byte;
    if (fstat(fd, &st) != 0 || pread(fd, &byte, 1, st.st_size / 2) != 1)
        return false;
    byte ^= 1;
    return pwrite(fd, &byte, 1, st.st_size / 2) == 1;
}

enum status demo_flip(struct http_request *req)
{
    const char *id = http_param(req, "id");
    uint8_t ignored[OBJECT_ID];
    struct strbuf path = STRBUF_INIT;
    enum status s = fault_check(http_header(req, "Authorization"));
    if (!s)
        s = object_id_parse(id, ignored);
    if (s)
        return s;
    strbuf_addf(&path, "%s/blobs/%c/%c/%s", folder, id[0], id[1], id);
    int fd = open(path.bytes, O_RDWR | O_CLOEXEC);
    strbuf_release(&path);
    if (fd < 0)
        return STATUS_NOT_FOUND;
    bool flipped = flip(fd);
    close(fd);
    return flipped ? http_reply(req, 204, NULL, NULL, 0) : STATUS_UNAVAILABLE;
}
