/*
 * Small requests over a few connections, each one after the other, and what
 * every one of them took; beside them synced writes to a file, for what the
 * disk alone takes:
 *
 *     probe PORT FILE PUT1 GET1 PUT2 GET2 ...
 *
 * PUTn and GETn are files, each with a whole request; connection n sends them
 * in turn.  The end is the end of standard input.  Then one line for each:
 *
 *     REQUEST BEGIN END STATUS SAME     REQUEST is put or get
 *     disk BEGIN END
 *
 * Times are microseconds of CLOCK_MONOTONIC.  STATUS is 0 where the connection
 * ended without an answer.  SAME is 1 where an earlier request was answered
 * over the same connection, so that its worker was there before.
 *
 * A process of its own, in C and of high priority, so that it is not itself
 * what is late.
 */

#define _GNU_SOURCE

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>


#define CONNECTIONS 32
#define PAUSE 2000           /* us, between an answer and the next request */
#define DISK_PAUSE 5000      /* us */
#define DISK_WRITE 4096
#define DISK_FILE (1 << 20)


typedef struct {
    uint64_t begin;
    uint64_t end;
    uint8_t what; /* PUT, GET, DISK */
    uint8_t same;
    uint16_t status;
} sample_t;

enum { PUT, GET, DISK };

typedef struct {
    sample_t *all;
    size_t used;
    size_t room;
} samples_t;

typedef struct {
    char *bytes;
    size_t length;
} request_t;

typedef struct {
    request_t requests[2];
    int fd; /* -1: none */
    int waiting;
    int what;
    int answered; /* over this connection */
    uint64_t due;
    uint64_t begin;
    char answer[16384];
    size_t got;
} connection_t;


static int port;
static volatile int ended;
static samples_t asked, written;
static connection_t connections[CONNECTIONS];


static void
die(const char *what)
{
    perror(what);
    exit(1);
}


static uint64_t
now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);

    return (uint64_t) t.tv_sec * 1000000 + (uint64_t) t.tv_nsec / 1000;
}


static void
note(samples_t *s, sample_t sample)
{
    if (s->used == s->room) {
        s->room = s->room ? 2 * s->room : 65536;
        s->all = realloc(s->all, s->room * sizeof(sample_t));
        if (s->all == NULL) {
            die("realloc");
        }
    }

    s->all[s->used++] = sample;
}


static request_t
load(const char *path)
{
    FILE *f;
    request_t r;

    f = fopen(path, "rb");
    if (f == NULL) {
        die(path);
    }

    r.bytes = malloc(65536);
    r.length = r.bytes ? fread(r.bytes, 1, 65536, f) : 0;
    fclose(f);

    if (r.length == 0 || r.length == 65536) {
        fprintf(stderr, "%s: empty, or too long\n", path);
        exit(1);
    }

    return r;
}


static void
finish(connection_t *c, int status)
{
    note(&asked, (sample_t){ .begin = c->begin,
                             .end = now(),
                             .what = (uint8_t) c->what,
                             .same = c->answered > 0,
                             .status = (uint16_t) status });

    c->waiting = 0;
    c->due = now() + PAUSE;

    if (status == 0) {
        close(c->fd);
        c->fd = -1;
        return;
    }

    c->answered++;
    c->what = !c->what;
}


static int
dial(void)
{
    int fd, one = 1;
    struct sockaddr_in to = { .sin_family = AF_INET,
                              .sin_port = htons((uint16_t) port),
                              .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };

    fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd == -1) {
        die("socket");
    }

    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));

    if (connect(fd, (struct sockaddr *) &to, sizeof(to)) == -1) {
        close(fd);
        return -1;
    }

    return fd;
}


static void
ask(connection_t *c)
{
    request_t *r = &c->requests[c->what];

    c->begin = now();

    if (c->fd == -1) {
        c->answered = 0;
        c->fd = dial();
        if (c->fd == -1) {
            c->due = now() + PAUSE;
            return;
        }
    }

    c->waiting = 1;
    c->got = 0;

    /* far less than what a socket holds: it goes whole or fails */
    if (send(c->fd, r->bytes, r->length, MSG_NOSIGNAL)
        != (ssize_t) r->length) {
        finish(c, 0);
    }
}


/* 1: the answer is there; 0: not yet; -1: it can't be read. */

static int
complete(connection_t *c, int *status)
{
    char *head, *field;
    size_t length;

    c->answer[c->got] = '\0';

    head = strstr(c->answer, "\r\n\r\n");
    if (head == NULL) {
        return 0;
    }

    field = strcasestr(c->answer, "\r\ncontent-length:");
    if (field == NULL || field > head
        || sscanf(c->answer, "HTTP/1.1 %d", status) != 1) {
        return -1;
    }

    length = strtoul(field + strlen("\r\ncontent-length:"), NULL, 10);

    return c->got >= (size_t) (head + 4 - c->answer) + length;
}


static void
take(connection_t *c)
{
    int done, status = 0;
    ssize_t n;

    n = recv(c->fd, c->answer + c->got, sizeof(c->answer) - 1 - c->got, 0);
    if (n <= 0) {
        finish(c, 0);
        return;
    }

    c->got += (size_t) n;
    done = complete(c, &status);

    if (done == -1 || (done == 0 && c->got == sizeof(c->answer) - 1)) {
        fprintf(stderr, "not an answer: %.200s\n", c->answer);
        exit(1);
    }

    if (done) {
        finish(c, status);
    }
}


static void *
writes(void *ctx)
{
    int fd;
    void *p;
    off_t at;
    sample_t s = { .what = DISK };

    fd = open(ctx, O_RDWR | O_CREAT | O_DIRECT | O_DSYNC | O_CLOEXEC, 0600);
    if (fd == -1 || posix_memalign(&p, 4096, DISK_WRITE)) {
        die(ctx);
    }

    memset(p, 'x', DISK_WRITE);

    for (at = 0; !ended; at += DISK_WRITE) {
        s.begin = now();
        if (pwrite(fd, p, DISK_WRITE, at % DISK_FILE) != DISK_WRITE) {
            die("pwrite");
        }
        s.end = now();

        /* the first round makes the file */
        if (at >= DISK_FILE) {
            note(&written, s);
            usleep(DISK_PAUSE);
        }
    }

    close(fd);
    free(p);

    return NULL;
}


static void
turn(int count)
{
    int i, timeout = 1000;
    uint64_t t = now();
    struct pollfd set[CONNECTIONS + 1];

    set[count] = (struct pollfd){ .fd = STDIN_FILENO, .events = POLLIN };

    for (i = 0; i < count; i++) {
        connection_t *c = &connections[i];

        if (!c->waiting && c->due <= t) {
            ask(c);
        }

        set[i] = (struct pollfd){ .fd = c->fd, .events = POLLIN };

        if (!c->waiting) {
            set[i].fd = -1;
            timeout = c->due <= t ? 0 : (int) ((c->due - t) / 1000 + 1)
                                          < timeout
                                      ? (int) ((c->due - t) / 1000 + 1)
                                      : timeout;
        }
    }

    if (poll(set, (nfds_t) count + 1, timeout) == -1 && errno != EINTR) {
        die("poll");
    }

    for (i = 0; i < count; i++) {
        if (set[i].fd != -1 && set[i].revents) {
            take(&connections[i]);
        }
    }

    ended = set[count].revents != 0;
}


static void
print(const samples_t *s)
{
    size_t i;
    const sample_t *p;
    static const char *names[] = { "put", "get", "disk" };

    for (i = 0; i < s->used; i++) {
        p = &s->all[i];
        printf("%s %llu %llu %u %u\n", names[p->what],
               (unsigned long long) p->begin, (unsigned long long) p->end,
               p->status, p->same);
    }
}


int
main(int argc, char **argv)
{
    int i, count = (argc - 3) / 2;
    pthread_t thread;

    if (argc < 5 || argc % 2 == 0 || count > CONNECTIONS) {
        fprintf(stderr, "probe PORT FILE PUT1 GET1 PUT2 GET2 ...\n");
        return 2;
    }

    port = atoi(argv[1]);

    for (i = 0; i < count; i++) {
        connections[i].requests[PUT] = load(argv[3 + 2 * i]);
        connections[i].requests[GET] = load(argv[4 + 2 * i]);
        connections[i].fd = -1;
    }

    setpriority(PRIO_PROCESS, 0, -20);

    if (pthread_create(&thread, NULL, writes, argv[2])) {
        die("pthread_create");
    }

    while (!ended) {
        turn(count);
    }

    pthread_join(thread, NULL);

    print(&asked);
    print(&written);

    return 0;
}
