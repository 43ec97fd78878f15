/* What an encrypted upload and download cost on bare libmicrohttpd: the ladder that the vault is
 * held against. Each rung does what the ones before it do, and one thing more. On its event
 * threads, with nothing else: no key of its own for each file, no index, no log.
 * usage: bare_vault FOLDER discard|aead|hash|write|sync; prints its port.
 * POST / uploads; with `write` and `sync`, GET /N is the N-th upload, each chunk authenticated. */
#include "net.h"
#include "strbuf.h"
#include <fcntl.h>
#include <microhttpd.h>
#include <openssl/evp.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { CHUNK = 16384, TAG = 16, SEALED = CHUNK + TAG, RUN = 16, CONNECTIONS = 1024 };
enum { MEMORY = 64 * 1024 };
enum rung { DISCARD, AEAD, HASH, WRITE, SYNC };
static const char *const rungs[] = {"discard", "aead", "hash", "write", "sync"};

static enum rung rung;
static int folder;
static atomic_uint uploads;
static struct MHD_Response *done, *missing;
static const unsigned char key[32] = {1};

struct file {
    EVP_CIPHER_CTX *aead;
    EVP_MD_CTX *hash;
    int fd;
    unsigned number;
    uint64_t chunk, size, at;
    size_t held;
    unsigned char plain[CHUNK], sealed[RUN * SEALED];
};

static void must(bool held, const char *what)
{
    if (!held)
        net_die("bare_vault: %s failed", what);
}

static struct file *file_new(int encrypt)
{
    struct file *f = xcalloc(1, sizeof(*f));
    f->fd = -1;
    f->aead = EVP_CIPHER_CTX_new();
    f->hash = EVP_MD_CTX_new();
    must(EVP_CipherInit_ex(f->aead, EVP_aes_256_gcm(), NULL, key, NULL, encrypt) == 1 &&
             EVP_DigestInit_ex(f->hash, EVP_sha256(), NULL) == 1,
         "OpenSSL");
    return f;
}

static void file_free(void *arg)
{
    struct file *f = arg;
    EVP_CIPHER_CTX_free(f->aead);
    EVP_MD_CTX_free(f->hash);
    if (f->fd >= 0)
        close(f->fd);
    free(f);
}

static void next_nonce(struct file *f)
{
    unsigned char nonce[12] = {0};
    uint64_t k = f->chunk++;
    for (int i = 11; k; i--, k >>= 8)
        nonce[i] = (unsigned char)k;
    must(EVP_CipherInit_ex(f->aead, NULL, NULL, NULL, nonce, -1) == 1, "nonce");
}

/* --- upload --------------------------------------------------------------------------------- */

static size_t seal(struct file *f, const unsigned char *plain, size_t len, unsigned char *out)
{
    int n;
    next_nonce(f);
    must(EVP_EncryptUpdate(f->aead, out, &n, plain, (int)len) == 1 &&
             EVP_EncryptFinal_ex(f->aead, out + len, &n) == 1 &&
             EVP_CIPHER_CTX_ctrl(f->aead, EVP_CTRL_GCM_GET_TAG, TAG, out + len) == 1,
         "seal");
    return len + TAG;
}

static void put(struct file *f, size_t len)
{
    for (size_t sent = 0; rung >= WRITE && sent < len;) {
        ssize_t n = write(f->fd, f->sealed + sent, len - sent);
        must(n > 0, "write");
        sent += (size_t)n;
    }
}

static void take(struct file *f, const unsigned char *bytes, size_t len)
{
    size_t out = 0;
    if (rung >= HASH)
        must(EVP_DigestUpdate(f->hash, bytes, len) == 1, "hash");
    while (rung >= AEAD && f->held + len >= CHUNK) {
        const unsigned char *plain = f->held ? f->plain : bytes;
        size_t more = CHUNK - f->held;
        if (f->held)
            memcpy(f->plain + f->held, bytes, more);
        out += seal(f, plain, CHUNK, f->sealed + out);
        f->held = 0;
        bytes += more;
        len -= more;
    }
    if (rung >= AEAD)
        memcpy(f->plain + f->held, bytes, len);
    f->held += rung >= AEAD ? len : 0;
    put(f, out);
}

static void name_of(unsigned number, char name[16])
{
    snprintf(name, 16, "%u", number);
}

static void finish(struct file *f)
{
    char from[16], to[16];
    unsigned char digest[32];
    if (rung >= AEAD)
        put(f, seal(f, f->plain, f->held, f->sealed));
    if (rung >= HASH)
        must(EVP_DigestFinal_ex(f->hash, digest, NULL) == 1, "hash");
    if (rung < SYNC)
        return;
    snprintf(from, sizeof(from), "t%u", f->number);
    name_of(f->number, to);
    must(fsync(f->fd) == 0 && renameat(folder, from, folder, to) == 0 && fsync(folder) == 0,
         "sync");
}

static struct file *upload_new(void)
{
    char name[16];
    struct file *f = file_new(1);
    f->number = atomic_fetch_add(&uploads, 1);
    name_of(f->number, name);
    if (rung == SYNC)
        snprintf(name, sizeof(name), "t%u", f->number);
    if (rung >= WRITE)
        f->fd = openat(folder, name, O_WRONLY | O_CREAT | O_EXCL, 0600);
    must(rung < WRITE || f->fd >= 0, "create");
    return f;
}

/* --- download ------------------------------------------------------------------------------- */

static void open_chunk(struct file *f, unsigned char *sealed, size_t len, unsigned char *out)
{
    int n;
    next_nonce(f);
    must(EVP_CIPHER_CTX_ctrl(f->aead, EVP_CTRL_GCM_SET_TAG, TAG, sealed + len) == 1 &&
             EVP_DecryptUpdate(f->aead, out, &n, sealed, (int)len) == 1 &&
             EVP_DecryptFinal_ex(f->aead, out + len, &n) == 1,
         "open");
}

static ssize_t next_bytes(void *arg, uint64_t at, char *out, size_t max)
{
    struct file *f = arg;
    size_t given = 0, chunks = max / CHUNK + 1 < RUN ? max / CHUNK + 1 : RUN;
    (void)at;
    ssize_t n = read(f->fd, f->sealed, chunks * SEALED);
    must(n >= 0, "read");
    for (size_t len = (size_t)n, done_len = 0; done_len < len; done_len += SEALED) {
        size_t plain = (len - done_len < SEALED ? len - done_len : SEALED) - TAG;
        open_chunk(f, f->sealed + done_len, plain, (unsigned char *)out + given);
        given += plain;
    }
    return given ? (ssize_t)given : MHD_CONTENT_READER_END_OF_STREAM;
}

static enum MHD_Result download(struct MHD_Connection *connection, const char *name)
{
    struct stat st;
    struct file *f = file_new(0);
    f->fd = openat(folder, name, O_RDONLY);
    if (f->fd < 0 || fstat(f->fd, &st) != 0) {
        file_free(f);
        return MHD_queue_response(connection, MHD_HTTP_NOT_FOUND, missing);
    }
    uint64_t chunks = (uint64_t)st.st_size / SEALED + 1, size = (uint64_t)st.st_size - TAG * chunks;
    struct MHD_Response *r =
        MHD_create_response_from_callback(size, RUN * CHUNK, next_bytes, f, file_free);
    enum MHD_Result queued = MHD_queue_response(connection, MHD_HTTP_OK, r);
    MHD_destroy_response(r);
    return queued;
}

/* --- requests ------------------------------------------------------------------------------- */

static struct file get; /* the state of every GET */

static enum MHD_Result on_request(void *ctx, struct MHD_Connection *connection, const char *url,
                                  const char *method, const char *version, const char *body,
                                  size_t *body_len, void **state)
{
    (void)ctx, (void)version;
    if (!*state) {
        *state = strcmp(method, "GET") == 0 ? &get : upload_new();
        return MHD_YES;
    }
    if (*state == &get)
        return download(connection, url + 1);
    if (*body_len > 0) {
        take(*state, (const unsigned char *)body, *body_len);
        *body_len = 0;
        return MHD_YES;
    }
    finish(*state);
    return MHD_queue_response(connection, MHD_HTTP_CREATED, done);
}

static void on_end(void *ctx, struct MHD_Connection *connection, void **state,
                   enum MHD_RequestTerminationCode why)
{
    (void)ctx, (void)connection, (void)why;
    if (*state && *state != &get)
        file_free(*state);
}

int main(int argc, char **argv)
{
    uint16_t port;
    while (argc == 3 && rung <= SYNC && strcmp(argv[2], rungs[rung]) != 0)
        rung++;
    if (argc != 3 || rung > SYNC)
        net_die("usage: bare_vault FOLDER discard|aead|hash|write|sync");
    folder = open(argv[1], O_RDONLY | O_DIRECTORY);
    must(folder >= 0, "folder");
    net_no_file_limit();
    done = MHD_create_response_from_buffer(2, (void *)(uintptr_t) "{}", MHD_RESPMEM_PERSISTENT);
    missing = MHD_create_response_from_buffer(0, NULL, MHD_RESPMEM_PERSISTENT);
    long cpus = sysconf(_SC_NPROCESSORS_ONLN);
    int fd = net_listen(&port);
    struct MHD_Daemon *daemon = MHD_start_daemon(
        MHD_USE_EPOLL_INTERNAL_THREAD, 0, NULL, NULL, on_request, NULL, MHD_OPTION_LISTEN_SOCKET,
        fd, MHD_OPTION_THREAD_POOL_SIZE, (unsigned)(cpus > 2 ? cpus : 2),
        MHD_OPTION_CONNECTION_LIMIT, (unsigned)CONNECTIONS, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
        (size_t)MEMORY, MHD_OPTION_NOTIFY_COMPLETED, on_end, NULL, MHD_OPTION_END);
    if (!daemon)
        net_die("libmicrohttpd does not start");
    net_print_port(port);
    for (;;)
        pause();
}
