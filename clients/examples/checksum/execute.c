// SPDX-License-Identifier: Apache-2.0
// execute.c: hashes the files of one subtask. A file that cannot be read is reported; it does not fail the
// subtask.
#include "base/mem.h"
#include "checksum/checksum.h"
#include "files/beneath.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { READ_BYTES = 256 << 10 };

typedef Examples__Checksum__V1__File File;

struct hashing {
    struct dtf_execution *execution;
    int root;
    EVP_MD_CTX *md;
    unsigned char *buffer;
};

// Reads the file to its end. 0 or an errno; ECANCELED: the subtask is to stop.
static int hash_content(struct hashing *h, int fd, File *out)
{
    for (;;) {
        if (dtf_execution_is_cancelled(h->execution))
            return ECANCELED;
        ssize_t n = read(fd, h->buffer, READ_BYTES);
        if (n == 0)
            return 0;
        if (n < 0 && errno != EINTR)
            return errno;
        if (n > 0 && !EVP_DigestUpdate(h->md, h->buffer, (size_t)n))
            return EIO;
        out->size += n > 0 ? (uint64_t)n : 0;
    }
}

static int hash_open_file(struct hashing *h, int fd, File *out)
{
    struct stat s;
    if (fstat(fd, &s))
        return errno;
    if (!S_ISREG(s.st_mode)) // replaced since the generator saw it
        return EINVAL;
    posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL);
    if (!EVP_DigestInit_ex(h->md, EVP_sha256(), NULL))
        return EIO;
    int error = hash_content(h, fd, out);
    if (error)
        return error;
    out->digest.data = mem_alloc(CHECKSUM_DIGEST_BYTES);
    out->digest.len = CHECKSUM_DIGEST_BYTES;
    return EVP_DigestFinal_ex(h->md, out->digest.data, NULL) ? 0 : EIO;
}

static int hash_file(struct hashing *h, const char *path, File *out)
{
    int fd = beneath_open(h->root, path, O_RDONLY | O_NONBLOCK); // not to wait for a FIFO's writer
    if (fd < 0)
        return errno;
    int error = hash_open_file(h, fd, out);
    close(fd);
    return error;
}

// The result for one item. false: cancelled.
static bool hash_item(struct hashing *h, const Examples__Checksum__V1__Item *item, File *out)
{
    examples__checksum__v1__file__init(out);
    out->path = item->path; // borrowed
    out->error = mem_strdup(item->problem);
    if (*item->problem)
        return true;
    char *path = mem_calloc(item->path.len + 1, 1);
    if (item->path.len)
        memcpy(path, item->path.data, item->path.len);
    int error = hash_file(h, path, out);
    free(path);
    if (!error)
        return true;
    const char *reason = error == EINVAL ? "no regular file any more" : strerrordesc_np(error);
    free(out->error);
    free(out->digest.data);
    out->error = mem_strdup(reason ? reason : "unknown error");
    out->digest = (ProtobufCBinaryData){0};
    return error != ECANCELED;
}

static void set_body(struct dtf_execution *x, File **files, size_t count)
{
    Examples__Checksum__V1__Result r = EXAMPLES__CHECKSUM__V1__RESULT__INIT;
    r.n_files = count;
    r.files = files;
    size_t size = examples__checksum__v1__result__get_packed_size(&r);
    uint8_t *packed = mem_alloc(size);
    examples__checksum__v1__result__pack(&r, packed);
    dtf_execution_set_body(x, packed, size);
    free(packed);
}

static int hash_items(struct hashing *h, const Examples__Checksum__V1__Subtask *s, struct nrpc_status *st)
{
    size_t count = 0;
    bool going = true;
    File *files = mem_calloc(s->n_items, sizeof *files),
         **pointers = mem_calloc(s->n_items, sizeof *pointers);
    for (; going && count < s->n_items; count++) {
        pointers[count] = &files[count];
        going = hash_item(h, s->items[count], &files[count]);
    }
    if (going)
        set_body(h->execution, pointers, count);
    for (size_t i = 0; i < count; i++) {
        free(files[i].digest.data);
        free(files[i].error);
    }
    free(files);
    free(pointers);
    return going ? NRPC_OK : status_set(st, NRPC_CANCELLED, "cancelled");
}

// Fails as a whole only if this node does not have the tree.
static int run(const Examples__Checksum__V1__Subtask *s, struct dtf_execution *x, struct nrpc_status *st)
{
    char *root = mem_calloc(s->root.len + 1, 1);
    if (s->root.len)
        memcpy(root, s->root.data, s->root.len);
    struct hashing h = {.execution = x, .root = beneath_open_root(root)};
    free(root);
    if (h.root < 0)
        return status_errno(st, errno, "cannot open the tree's root");
    h.md = EVP_MD_CTX_new();
    h.buffer = mem_alloc(READ_BYTES);
    int code =
        h.md ? hash_items(&h, s, st) : status_set(st, NRPC_RESOURCE_EXHAUSTED, "no memory for a digest");
    free(h.buffer);
    EVP_MD_CTX_free(h.md);
    close(h.root);
    return code;
}

static int execute(void *user, const struct dtf_subtask *subtask, struct dtf_execution *x,
                   struct nrpc_status *st)
{
    (void)user;
    Examples__Checksum__V1__Subtask *s =
        examples__checksum__v1__subtask__unpack(NULL, subtask->param_bytes, subtask->param);
    if (!s)
        return status_set(st, NRPC_INVALID_ARGUMENT,
                          "the subtask's parameter is no examples.checksum.v1.Subtask");
    int code = run(s, x, st);
    examples__checksum__v1__subtask__free_unpacked(s, NULL);
    return code;
}

const struct dtf_executor checksum_executor = {
    .execute = execute,
};
