/*
 * LD_PRELOAD: allocations that fail when told to.
 *
 * A file of one page, named by S3_NOMEM and mapped when the library is
 * loaded, is the switch: see struct nomem.  Calls of one process are counted
 * while `pid` is its id; call number `first` fails, and the `more` calls that
 * follow it.  Where the last one failed is kept for who looks for it.
 */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>


#define NOMEM_TRACE 24


struct nomem {
    _Atomic int32_t pid; /* 0: nobody */
    _Atomic uint32_t count;
    _Atomic uint32_t first;
    _Atomic uint32_t more;
    _Atomic uint32_t failed;
    _Atomic uint32_t depth;
    void *trace[NOMEM_TRACE];
};


extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t n, size_t size);
extern void *__libc_realloc(void *p, size_t size);
extern void *__libc_memalign(size_t align, size_t size);

static struct nomem *nomem;
static _Thread_local int inside;


__attribute__((constructor)) static void
nomem_init(void)
{
    int fd;
    void *p, *warm[2];
    const char *name = getenv("S3_NOMEM");

    fd = name ? open(name, O_RDWR | O_CLOEXEC) : -1;
    if (fd == -1) {
        return;
    }

    /* loads what backtrace() needs */
    (void) backtrace(warm, 2);

    p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    (void) close(fd);

    nomem = p == MAP_FAILED ? NULL : p;
}


static int
nomem_fails(void)
{
    uint32_t n;

    if (nomem == NULL || inside || nomem->pid == 0
        || nomem->pid != getpid())
    {
        return 0;
    }

    n = atomic_fetch_add(&nomem->count, 1) + 1;

    if (n < nomem->first || n - nomem->first > nomem->more) {
        return 0;
    }

    inside = 1;
    nomem->depth = (uint32_t) backtrace(nomem->trace, NOMEM_TRACE);
    inside = 0;

    atomic_fetch_add(&nomem->failed, 1);
    errno = ENOMEM;

    return 1;
}


void *
malloc(size_t size)
{
    return nomem_fails() ? NULL : __libc_malloc(size);
}


void *
calloc(size_t n, size_t size)
{
    return nomem_fails() ? NULL : __libc_calloc(n, size);
}


void *
realloc(void *p, size_t size)
{
    return nomem_fails() ? NULL : __libc_realloc(p, size);
}


void *
memalign(size_t align, size_t size)
{
    return nomem_fails() ? NULL : __libc_memalign(align, size);
}


void *
aligned_alloc(size_t align, size_t size)
{
    return nomem_fails() ? NULL : __libc_memalign(align, size);
}


int
posix_memalign(void **p, size_t align, size_t size)
{
    void *q = nomem_fails() ? NULL : __libc_memalign(align, size);

    if (q == NULL) {
        return ENOMEM;
    }

    *p = q;
    return 0;
}
