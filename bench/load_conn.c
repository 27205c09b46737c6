/*
 * Connections: one request at a time on each, the next one when the answer is
 * whole.  What nobody looks at of a body is discarded in the kernel
 * (MSG_TRUNC), not copied.
 */

#include "load.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>


#define STALL_MS 30000 /* without any event: the server hangs */


typedef struct {
    int fd;
    int busy; /* a request is out */
    int writing;
    uint64_t start;
    uint64_t request;
    size_t sent;
    size_t total; /* bytes of the request */
    load_answer_t answer;
} conn_t;


struct load_conns_s {
    const load_options_t *o;
    load_requests_t *requests;
    const load_body_t *body;
    load_result_t *result;
    uint64_t end;
    int epoll;
    unsigned n;
    unsigned busy;
    int poll;
    conn_t *conns;
};


static void
watch(load_conns_t *cs, conn_t *c, int op, uint32_t events)
{
    struct epoll_event ev = {.events = events, .data.ptr = c};

    if (epoll_ctl(cs->epoll, op, c->fd, &ev) != 0) {
        load_die("epoll_ctl: %s", strerror(errno));
    }
}


static void
dial(load_conns_t *cs, conn_t *c)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *ai;
    int rc, one = 1;

    rc = getaddrinfo(cs->o->host, cs->o->port, &hints, &ai);

    if (rc != 0) {
        load_die("%s: %s", cs->o->host, gai_strerror(rc));
    }

    c->fd = socket(ai->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (c->fd < 0 || connect(c->fd, ai->ai_addr, ai->ai_addrlen) != 0) {
        load_die("connect to %s:%s: %s", cs->o->host, cs->o->port,
                 strerror(errno));
    }

    freeaddrinfo(ai);
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    watch(cs, c, EPOLL_CTL_ADD, EPOLLIN);
}


static void
note_error(load_conns_t *cs, conn_t *c, const char *what)
{
    load_result_t *r = cs->result;
    size_t i, n;

    if (r->errors++ != 0) {
        return;
    }

    n = (size_t) snprintf(r->error, sizeof(r->error),
                          "request %llu: %s (status %d): %.120s ... %.200s",
                          (unsigned long long) c->request, what,
                          c->answer.status, c->answer.header,
                          c->answer.kept ? c->answer.kept : "");
    n = n < sizeof(r->error) ? n : sizeof(r->error) - 1;

    for (i = 0; i < n; i++) {
        if (r->error[i] < ' ' || r->error[i] == '"' || r->error[i] == '\\') {
            r->error[i] = ' ';
        }
    }
}


static void
idle(load_conns_t *cs, conn_t *c)
{
    c->busy = 0;
    cs->busy--;
}


static void
redial(load_conns_t *cs, conn_t *c)
{
    close(c->fd);
    c->writing = 0;
    cs->result->reconnects++;
    dial(cs, c);
}


/* Sends what the socket takes; 0, or -1 if it is broken. */

static int
push(load_conns_t *cs, conn_t *c)
{
    const load_requests_t *r = cs->requests;
    size_t offset, head;
    struct iovec iov[2];
    struct msghdr msg;
    ssize_t n;

    offset = r->offsets[c->request];
    head = r->offsets[c->request + 1] - offset;

    while (c->sent < c->total) {
        memset(&msg, 0, sizeof(msg));
        msg.msg_iov = iov;

        if (c->sent < head) {
            iov[msg.msg_iovlen].iov_base = r->arena + offset + c->sent;
            iov[msg.msg_iovlen++].iov_len = head - c->sent;
        }

        if (c->total > head) {
            n = c->sent > head ? (ssize_t) (c->sent - head) : 0;
            iov[msg.msg_iovlen].iov_base = cs->body->wire + n;
            iov[msg.msg_iovlen++].iov_len = r->body_size - (size_t) n;
        }

        n = sendmsg(c->fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);

        if (n < 0 && errno == EAGAIN) {
            if (!c->writing) {
                c->writing = 1;
                watch(cs, c, EPOLL_CTL_MOD, EPOLLIN | EPOLLOUT);
            }

            return 0;
        }

        if (n < 0) {
            return -1;
        }

        c->sent += (size_t) n;
        cs->result->sent += (uint64_t) n;
    }

    if (c->writing) {
        c->writing = 0;
        watch(cs, c, EPOLL_CTL_MOD, EPOLLIN);
    }

    return 0;
}


/* The next request on a connection, if there is one and there is time. */

static void
next(load_conns_t *cs, conn_t *c)
{
    load_requests_t *r = cs->requests;
    uint64_t i;

    for (;;) {
        c->start = load_now();

        if (c->start >= cs->end) {
            return;
        }

        i = atomic_fetch_add(&r->next, 1);

        if (i >= r->n && !cs->o->cycle) {
            return;
        }

        c->request = i % r->n;
        c->total =
            r->offsets[c->request + 1] - r->offsets[c->request] + r->body_size;
        c->sent = 0;
        c->answer.received = 0;
        c->answer.has_header = 0;
        c->answer.status = 0;
        c->answer.nkept = 0;
        c->answer.header[0] = 0;

        if (c->answer.kept != NULL) {
            c->answer.kept[0] = 0;
        }

        c->busy = 1;
        cs->busy++;

        if (push(cs, c) == 0) {
            return;
        }

        note_error(cs, c, "sending failed");
        idle(cs, c);
        redial(cs, c);
    }
}


static const char *
wrong(load_conns_t *cs, conn_t *c)
{
    const load_options_t *o = cs->o;

    if (c->answer.status != o->status) {
        return "wrong status";
    }

    if (o->length >= 0 && c->answer.length != o->length) {
        return "wrong length";
    }

    if (o->keys >= 0 && load_answer_count(&c->answer, "<Key>") != o->keys) {
        return "wrong number of keys";
    }

    if (o->prefixes >= 0
        && load_answer_count(&c->answer, "<CommonPrefixes>") != o->prefixes)
    {
        return "wrong number of common prefixes";
    }

    if (o->verify
        && (c->answer.nkept != cs->body->size
            || memcmp(c->answer.kept, cs->body->data, c->answer.nkept) != 0))
    {
        return "wrong content";
    }

    return NULL;
}


static void
answered(load_conns_t *cs, conn_t *c)
{
    const char *error;

    load_histogram_add(&cs->result->latency, load_now() - c->start);
    cs->result->ops++;
    error = wrong(cs, c);

    if (error == NULL && c->sent < c->total) {
        error = "answered before it was sent";
    }

    if (error != NULL) {
        note_error(cs, c, error);
    }

    idle(cs, c);

    if (c->answer.closing || c->sent < c->total) {
        redial(cs, c);
    }

    next(cs, c);
}


static void
broken(load_conns_t *cs, conn_t *c, const char *what)
{
    if (c->busy) {
        note_error(cs, c, what);
        idle(cs, c);
    }

    redial(cs, c);
    next(cs, c);
}


/* What there is of an answer, as recv(); rc as of load_answer_body(). */

static ssize_t
receive(conn_t *c, int *rc)
{
    static __thread char buf[262144];
    load_answer_t *a = &c->answer;
    ssize_t n;

    if (!a->has_header) {
        n = recv(c->fd, a->header + a->received, LOAD_HEADER_MAX - a->received,
                 MSG_DONTWAIT);

        if (n > 0) {
            *rc = load_answer_header(a, (size_t) n);
        }

    } else if (a->chunked || a->look || a->status != a->expected) {
        n = recv(c->fd, buf, sizeof(buf), MSG_DONTWAIT);

        if (n > 0) {
            *rc = load_answer_body(a, buf, (size_t) n);
        }

    } else {
        n = recv(c->fd, NULL, a->left, MSG_DONTWAIT | MSG_TRUNC);

        if (n > 0) {
            a->left -= (uint64_t) n;
            *rc = a->left == 0;
        }
    }

    return n;
}


/* Reads until the socket is empty or the answer is whole. */

static void
pull(load_conns_t *cs, conn_t *c)
{
    ssize_t n;
    int rc = 0;

    while (rc == 0) {
        n = receive(c, &rc);

        if (n < 0 && errno == EAGAIN) {
            return;
        }

        if (n <= 0 || !c->busy) {
            broken(cs, c, n == 0 ? "connection closed" : "receiving failed");
            return;
        }

        cs->result->received += (uint64_t) n;
    }

    if (rc < 0) {
        broken(cs, c, "an answer that is no HTTP");
        return;
    }

    answered(cs, c);
}


load_conns_t *
load_conns_open(const load_options_t *o, load_requests_t *r,
                const load_body_t *body, unsigned n)
{
    load_conns_t *cs = load_alloc(sizeof(*cs));
    load_answer_t *a;
    unsigned i;

    memset(cs, 0, sizeof(*cs));
    cs->o = o;
    cs->requests = r;
    cs->body = body;
    cs->n = n;
    cs->poll = o->poll;
    cs->conns = load_alloc(n * sizeof(cs->conns[0]));
    memset(cs->conns, 0, n * sizeof(cs->conns[0]));
    cs->epoll = epoll_create1(EPOLL_CLOEXEC);

    if (cs->epoll < 0) {
        load_die("epoll_create1: %s", strerror(errno));
    }

    for (i = 0; i < n; i++) {
        a = &cs->conns[i].answer;
        a->expected = o->status;
        a->look = o->verify || o->keys >= 0 || o->prefixes >= 0;
        a->no_body = strcmp(o->method, "HEAD") == 0;
        dial(cs, &cs->conns[i]);
    }

    return cs;
}


/* 0: nothing came for STALL_MS. */

static int
wait_events(load_conns_t *cs, struct epoll_event *events, int max)
{
    uint64_t began = 0, t;
    int n;

    if (!cs->poll) {
        return epoll_wait(cs->epoll, events, max, STALL_MS);
    }

    for (;;) {
        n = epoll_wait(cs->epoll, events, max, 0);

        if (n != 0 && began == 0) {
            return n;
        }

        t = load_now();
        began = began ? began : t;

        if (n != 0) {
            cs->result->idle += t - began;
            return n;
        }

        if (t - began > STALL_MS * 1000000ull) {
            return 0;
        }
    }
}


void
load_conns_run(load_conns_t *cs, uint64_t end, load_result_t *result)
{
    struct epoll_event events[256];
    conn_t *c;
    unsigned i;
    int j, n;

    cs->result = result;
    cs->end = end;

    for (i = 0; i < cs->n; i++) {
        next(cs, &cs->conns[i]);
    }

    while (cs->busy > 0) {
        n = wait_events(cs, events, 256);

        if (n == 0) {
            load_die("no answer for %d seconds; %u requests are open",
                     STALL_MS / 1000, cs->busy);
        }

        for (j = 0; j < n; j++) {
            c = events[j].data.ptr;

            if ((events[j].events & EPOLLOUT) && c->busy && push(cs, c) != 0) {
                broken(cs, c, "sending failed");
                continue;
            }

            if (events[j].events & ~(uint32_t) EPOLLOUT) {
                pull(cs, c);
            }
        }
    }
}


void
load_conns_close(load_conns_t *cs)
{
    unsigned i;

    for (i = 0; i < cs->n; i++) {
        close(cs->conns[i].fd);
        free(cs->conns[i].answer.kept);
    }

    close(cs->epoll);
    free(cs->conns);
    free(cs);
}
