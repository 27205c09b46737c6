/*
 * What the drives themselves can do: direct, synchronous writes into files
 * whose blocks are there and zeroed.
 */

#include "load.h"

#include <errno.h>
#include <fcntl.h>
#include <libaio.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>


#define RAW_FILES 32
#define RAW_SPAN (4u << 20) /* bytes of a file; written round and round */


static int
make_file(const char *path, uint8_t *zeros)
{
    size_t done;
    ssize_t n;
    int fd;

    fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_DIRECT | O_DSYNC,
              0600);

    if (fd < 0) {
        load_die("%s: %s", path, strerror(errno));
    }

    for (done = 0; done < RAW_SPAN; done += (size_t) n) {
        n = pwrite(fd, zeros, RAW_SPAN - done, (off_t) done);

        if (n <= 0) {
            load_die("%s: %s", path, strerror(errno));
        }
    }

    if (fsync(fd) != 0) {
        load_die("%s: %s", path, strerror(errno));
    }

    return fd;
}


static void
write_all(io_context_t ctx, const int *fds, int n, void *data, size_t size,
          size_t offset)
{
    struct iocb cbs[RAW_FILES], *list[RAW_FILES];
    struct io_event events[RAW_FILES];
    int i;

    for (i = 0; i < n; i++) {
        io_prep_pwrite(&cbs[i], fds[i], data, size, (long long) offset);
        list[i] = &cbs[i];
    }

    if (io_submit(ctx, n, list) != n
        || io_getevents(ctx, n, n, events, NULL) != n) {
        load_die("asynchronous I/O failed");
    }

    for (i = 0; i < n; i++) {
        if (events[i].res != size) {
            load_die("a write failed: %ld", (long) events[i].res);
        }
    }
}


int
load_raw(int argc, char **argv)
{
    load_result_t r;
    io_context_t ctx = NULL;
    uint64_t start, begin;
    size_t size, i, count;
    uint8_t *data;
    int fds[RAW_FILES], n, f;

    n = argc - 3;

    if (n < 1 || n > RAW_FILES) {
        load_die("raw SIZE COUNT FILE..., at most %d files", RAW_FILES);
    }

    size = (size_t) atol(argv[1]);
    count = (size_t) atol(argv[2]);

    if (size == 0 || size % 4096 != 0 || RAW_SPAN % size != 0) {
        load_die("SIZE is a power of two from 4096 to %u", RAW_SPAN);
    }

    data = aligned_alloc(4096, RAW_SPAN);

    if (data == NULL || io_setup(RAW_FILES, &ctx) != 0) {
        load_die("out of memory or of asynchronous I/O");
    }

    memset(data, 0, RAW_SPAN);
    memset(&r, 0, sizeof(r));

    for (f = 0; f < n; f++) {
        fds[f] = make_file(argv[3 + f], data);
    }

    load_body_fill(data, RAW_SPAN);
    begin = load_now();

    for (i = 0; i < count; i++) {
        start = load_now();
        write_all(ctx, fds, n, data, size, i * size % RAW_SPAN);
        load_histogram_add(&r.latency, load_now() - start);
        r.ops++;
    }

    load_report(&r, (double) (load_now() - begin) / 1e9, 0, 1);

    io_destroy(ctx);

    for (f = 0; f < n; f++) {
        close(fds[f]);
        unlink(argv[3 + f]);
    }

    free(data);

    return 0;
}
