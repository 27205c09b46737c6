/*
 * s3ctl: options, drives, locks; docs/s3ctl.md is the manual.
 */

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/file.h>
#include <unistd.h>

#include "s3ctl/s3ctl.h"

#define S3CTL_ONE 1   /* of one drive */
#define S3CTL_KEY 2   /* needs --bucket and --key */
#define S3CTL_STORE 4 /* the drives are of one store */


static const struct {
    const char *name;
    int (*run)(s3ctl_t *ctl);
    unsigned flags;
} s3ctl_commands[] = {
    {"check", s3ctl_check, 0},
    {"records", s3ctl_records, S3CTL_ONE},
    {"index", s3ctl_index, S3CTL_ONE},
    {"rebuild", s3ctl_rebuild, S3CTL_ONE},
    {"where", s3ctl_where, S3CTL_KEY | S3CTL_STORE},
    {"verify", s3ctl_verify, S3CTL_KEY | S3CTL_STORE},
};

static const char s3ctl_usage[] =
    "usage: s3ctl check DRIVE...\n"
    "       s3ctl records DRIVE [--bucket B] [--key K] [--prefix P] [--json]\n"
    "       s3ctl index DRIVE [--bucket B] [--key K] [--prefix P] [--json]\n"
    "       s3ctl rebuild DRIVE [--write]\n"
    "       s3ctl where DRIVE... --bucket B --key K [--json]\n"
    "       s3ctl verify DRIVE... --bucket B --key K [--out FILE]\n"
    "\n"
    "DRIVE is a drive's directory.  B is a bucket's name, or id:HEX.\n"
    "  --escaped   K and P are written as they are printed: %XX is a byte\n"
    "  --live      read drives that a server uses, too\n"
    "  --verbose   what a start would log\n"
    "\n"
    "Exit status: 0, 1 where something is wrong with the drives, 2 where the\n"
    "command could not be carried out.  Only rebuild --write changes a "
    "drive.\n";


void
s3ctl_say(const char *fmt, ...)
{
    va_list ap;

    fflush(stdout);
    fputs("s3ctl: ", stderr);
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fputc('\n', stderr);
}


void
s3ctl_log(void *ctx, int level, const char *message)
{
    const s3ctl_t *ctl = ctx;

    if (level <= S3_LOG_WARN || ctl->verbose) {
        s3ctl_say("%s", message);
    }
}


s3ctl_drive_t *
s3ctl_place(s3ctl_t *ctl, unsigned i)
{
    unsigned j;

    for (j = 0; j < ctl->n; j++) {
        if (ctl->drives[j].format_rc == S3_OK
            && ctl->drives[j].format.position == i) {
            return &ctl->drives[j];
        }
    }

    return NULL;
}


int
s3ctl_one_store(s3ctl_t *ctl)
{
    int first;
    unsigned i, j;
    s3ctl_drive_t *d, *e;

    first = -1;

    for (i = 0; i < ctl->n; i++) {
        d = &ctl->drives[i];

        if (d->format_rc != S3_OK) {
            s3ctl_say("%s: format.json: %s", d->path,
                      s3_strerror(d->format_rc));
            continue;
        }

        if (first < 0) {
            first = (int) i;
        }

        e = &ctl->drives[first];

        if (memcmp(d->format.store, e->format.store, 16) != 0
            || d->format.drives != e->format.drives)
        {
            s3ctl_say("%s and %s are of different stores", e->path, d->path);
            return -1;
        }

        for (j = 0; j < i; j++) {
            e = &ctl->drives[j];

            if (e->format_rc == S3_OK
                && e->format.position == d->format.position) {
                s3ctl_say("%s and %s both are drive %u", e->path, d->path,
                          d->format.position);
                return -1;
            }
        }
    }

    if (first < 0) {
        s3ctl_say("none of these is a drive of a store");
    }

    return first;
}


/* Exclusively, as a server's start does it: neither comes into the other's
 * way.  A drive that has no such file was never started. */

static int
s3ctl_lock(s3ctl_t *ctl, s3ctl_drive_t *d)
{
    char *path;

    if (asprintf(&path, "%s/lock", d->path) == -1) {
        return S3_ENOMEM;
    }

    d->lock =
        open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY | O_NONBLOCK);

    if (d->lock == -1) {
        if (errno != ENOENT) {
            s3ctl_say("%s: %s", path, strerror(errno));
        }

        free(path);

        return errno == ENOENT || !ctl->write ? S3_OK : S3_EIO;
    }

    free(path);

    if (flock(d->lock, LOCK_EX | LOCK_NB) == 0) {
        return S3_OK;
    }

    if (errno == EWOULDBLOCK && ctl->live && !ctl->write) {
        s3ctl_say("%s: in use: it may change while it is read, and what is "
                  "reported may be gone, or be of two moments",
                  d->path);
        return S3_OK;
    }

    if (errno == EWOULDBLOCK) {
        s3ctl_say("%s: in use by a server, or by another s3ctl%s", d->path,
                  ctl->write ? "" : "; --live reads it nevertheless");
    } else {
        s3ctl_say("%s: lock: %s", d->path, strerror(errno));
    }

    return S3_EBUSY;
}


static int
s3ctl_drive(s3ctl_t *ctl, const char *path)
{
    int rc;
    s3ctl_drive_t *d;

    if (ctl->n == S3_MAX_DRIVES) {
        s3ctl_say("more than %d drives", S3_MAX_DRIVES);
        return S3_EINVAL;
    }

    d = &ctl->drives[ctl->n];
    memset(d, 0, sizeof(*d));
    d->path = path;
    d->lock = -1;

    rc = s3ctl_fs_open(path, ctl->n, &d->fs);

    if (rc != S3_OK) {
        s3ctl_say("%s: %s", path,
                  rc == S3_ENOENT ? "no such directory" : s3_strerror(rc));
        return rc;
    }

    ctl->n++;

    rc = s3ctl_lock(ctl, d);
    if (rc != S3_OK) {
        return rc;
    }

    d->format_rc = s3_format_load(d->fs, &d->format);

    return S3_OK;
}


static int
s3ctl_options(s3ctl_t *ctl, int argc, char **argv, int *escaped)
{
    int c;

    static const struct option options[] = {
        {"bucket", required_argument, NULL, 'b'},
        {"key", required_argument, NULL, 'k'},
        {"prefix", required_argument, NULL, 'p'},
        {"out", required_argument, NULL, 'o'},
        {"json", no_argument, NULL, 'j'},
        {"write", no_argument, NULL, 'w'},
        {"live", no_argument, NULL, 'l'},
        {"escaped", no_argument, NULL, 'e'},
        {"verbose", no_argument, NULL, 'v'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0}};

    while ((c = getopt_long(argc, argv, "h", options, NULL)) != -1) {
        switch (c) {
        case 'b':
            ctl->bucket = optarg;
            break;
        case 'k':
            ctl->key = s3_str(optarg, strlen(optarg));
            break;
        case 'p':
            ctl->prefix = s3_str(optarg, strlen(optarg));
            break;
        case 'o':
            ctl->out = optarg;
            break;
        case 'j':
            ctl->json = 1;
            break;
        case 'w':
            ctl->write = 1;
            break;
        case 'l':
            ctl->live = 1;
            break;
        case 'e':
            *escaped = 1;
            break;
        case 'v':
            ctl->verbose = 1;
            break;
        case 'h':
            fputs(s3ctl_usage, stdout);
            exit(S3CTL_FINE);
        default:
            return -1;
        }
    }

    return 0;
}


static int
s3ctl_decode(s3_str_t *s)
{
    ssize_t n;

    if (s->data == NULL) {
        return 0;
    }

    /* an argument of main() is the program's to change */
    n = s3ctl_unescape((char *) (uintptr_t) s->data);

    if (n < 0) {
        return -1;
    }

    s->len = (size_t) n;

    return 0;
}


static int
s3ctl_fits(const s3ctl_t *ctl, unsigned flags, int drives)
{
    if (drives < 1 || (flags & S3CTL_ONE && drives != 1)
        || (flags & S3CTL_KEY && (ctl->bucket == NULL || !ctl->key.data))
        || (ctl->write && ctl->run != s3ctl_rebuild)
        || (ctl->out && ctl->run != s3ctl_verify))
    {
        return 0;
    }

    return ctl->key.len <= S3_MAX_KEY && ctl->prefix.len <= S3_MAX_KEY;
}


int
main(int argc, char **argv)
{
    int i, rc, escaped;
    unsigned c, n;
    s3ctl_t ctl;

    memset(&ctl, 0, sizeof(ctl));
    escaped = 0;
    n = sizeof(s3ctl_commands) / sizeof(s3ctl_commands[0]);

    if (s3ctl_options(&ctl, argc, argv, &escaped) != 0) {
        fputs(s3ctl_usage, stderr);
        return S3CTL_FAILED;
    }

    for (c = 0; optind < argc && c < n; c++) {
        if (strcmp(argv[optind], s3ctl_commands[c].name) == 0) {
            break;
        }
    }

    if (optind < argc && c < n) {
        ctl.run = s3ctl_commands[c].run;
    }

    if (ctl.run == NULL
        || !s3ctl_fits(&ctl, s3ctl_commands[c].flags, argc - optind - 1)
        || (escaped
            && (s3ctl_decode(&ctl.key) != 0 || s3ctl_decode(&ctl.prefix) != 0)))
    {
        fputs(s3ctl_usage, stderr);
        return S3CTL_FAILED;
    }

    rc = S3_OK;

    for (i = optind + 1; i < argc && rc == S3_OK; i++) {
        rc = s3ctl_drive(&ctl, argv[i]);
    }

    if (rc == S3_OK && s3ctl_commands[c].flags & S3CTL_STORE) {
        i = s3ctl_one_store(&ctl);

        if (i >= 0) {
            ctl.format = &ctl.drives[i].format;

        } else {
            rc = S3_EFOREIGN;
        }
    }

    rc = rc == S3_OK ? ctl.run(&ctl) : S3CTL_FAILED;

    while (ctl.n) {
        s3ctl_fs_close(ctl.drives[--ctl.n].fs);

        if (ctl.drives[ctl.n].lock != -1) {
            (void) close(ctl.drives[ctl.n].lock);
        }
    }

    if (fflush(stdout) != 0 || ferror(stdout)) {
        s3ctl_say("the output could not be written");
        rc = S3CTL_FAILED;
    }

    return rc;
}
