/*
 * A FUSE file system that shows another directory, with switches for what
 * drives do:
 *
 *     faultfs SWITCHES SOURCE MOUNTPOINT [FUSE options]
 *
 * SWITCHES is a file of 8 bytes or more that is mapped; each byte that is not
 * zero is a switch, and may be changed at any time:
 *
 *     0  reads fail with EIO              4  reads, writes, syncs hang
 *     1  writes fail with EIO             5  everything hangs
 *     2  syncs fail with EIO              6  writes, new files: ENOSPC
 *     3  whatever would write: EROFS
 *
 * What hangs goes on when the switch is off again.  Syncs are not passed on:
 * this is not for power cuts.
 */

#define FUSE_USE_VERSION 31
#define _GNU_SOURCE

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fuse.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>


enum {
    NO_READ,
    NO_WRITE,
    NO_SYNC,
    READ_ONLY,
    HANG_DATA,
    HANG_ALL,
    NO_SPACE,
    SWITCHES
};

enum { LOOK, READ, WRITE, SYNC, MAKE, REMOVE };

static volatile unsigned char *on;
static int source;


/* 0, or the error that an operation of this kind gets. */

static int
gate(int kind)
{
    int data = kind == READ || kind == WRITE || kind == SYNC;

    while (on[HANG_ALL] || (data && on[HANG_DATA])) {
        usleep(10000);
    }

    if (kind == READ && on[NO_READ]) {
        return -EIO;
    }

    if ((kind == WRITE || kind == MAKE) && on[NO_WRITE]) {
        return -EIO;
    }

    if (kind == SYNC && on[NO_SYNC]) {
        return -EIO;
    }

    if ((kind == WRITE || kind == MAKE || kind == REMOVE) && on[READ_ONLY]) {
        return -EROFS;
    }

    if ((kind == WRITE || kind == MAKE) && on[NO_SPACE]) {
        return -ENOSPC;
    }

    return 0;
}


#define GATE(kind)            \
    do {                      \
        int gated = gate(kind); \
        if (gated) {          \
            return gated;     \
        }                     \
    } while (0)


static const char *
at(const char *path)
{
    return path[1] ? path + 1 : ".";
}


static int
result(long rc)
{
    return rc == -1 ? -errno : (int) rc;
}


static void *
fs_init(struct fuse_conn_info *conn, struct fuse_config *config)
{
    (void) conn;

    config->use_ino = 1;
    config->kernel_cache = 0;
    config->entry_timeout = 0;
    config->attr_timeout = 0;
    config->negative_timeout = 0;

    return NULL;
}


static int
fs_getattr(const char *path, struct stat *st, struct fuse_file_info *fi)
{
    GATE(LOOK);

    return fi ? result(fstat((int) fi->fh, st))
              : result(fstatat(source, at(path), st, AT_SYMLINK_NOFOLLOW));
}


static int
fs_readdir(const char *path, void *buf, fuse_fill_dir_t fill, off_t offset,
           struct fuse_file_info *fi, enum fuse_readdir_flags flags)
{
    int fd;
    DIR *dir;
    struct dirent *de;

    (void) offset;
    (void) fi;
    (void) flags;
    GATE(LOOK);

    fd = openat(source, at(path), O_RDONLY | O_DIRECTORY);
    dir = fd == -1 ? NULL : fdopendir(fd);

    if (dir == NULL) {
        return -errno;
    }

    while ((de = readdir(dir)) != NULL) {
        fill(buf, de->d_name, NULL, 0, 0);
    }

    closedir(dir);

    return 0;
}


static int
fs_mkdir(const char *path, mode_t mode)
{
    GATE(MAKE);

    return result(mkdirat(source, at(path), mode));
}


static int
fs_unlink(const char *path)
{
    GATE(REMOVE);

    return result(unlinkat(source, at(path), 0));
}


static int
fs_rmdir(const char *path)
{
    GATE(REMOVE);

    return result(unlinkat(source, at(path), AT_REMOVEDIR));
}


static int
fs_rename(const char *from, const char *to, unsigned flags)
{
    GATE(MAKE);

    return result(renameat2(source, at(from), source, at(to), flags));
}


static int
fs_chmod(const char *path, mode_t mode, struct fuse_file_info *fi)
{
    (void) fi;
    GATE(MAKE);

    return result(fchmodat(source, at(path), mode, 0));
}


static int
fs_chown(const char *path, uid_t uid, gid_t gid, struct fuse_file_info *fi)
{
    (void) fi;
    GATE(MAKE);

    return result(fchownat(source, at(path), uid, gid, AT_SYMLINK_NOFOLLOW));
}


static int
fs_truncate(const char *path, off_t size, struct fuse_file_info *fi)
{
    int fd, rc;

    GATE(WRITE);

    if (fi) {
        return result(ftruncate((int) fi->fh, size));
    }

    fd = openat(source, at(path), O_WRONLY);
    if (fd == -1) {
        return -errno;
    }

    rc = result(ftruncate(fd, size));
    close(fd);

    return rc;
}


static int
fs_utimens(const char *path, const struct timespec times[2],
           struct fuse_file_info *fi)
{
    (void) fi;
    GATE(MAKE);

    return result(utimensat(source, at(path), times, AT_SYMLINK_NOFOLLOW));
}


static int
open_at(const char *path, int flags, mode_t mode, struct fuse_file_info *fi)
{
    int fd;

    fd = openat(source, at(path), flags & ~(O_DIRECT | O_APPEND), mode);
    if (fd == -1) {
        return -errno;
    }

    fi->fh = (uint64_t) fd;

    return 0;
}


static int
fs_create(const char *path, mode_t mode, struct fuse_file_info *fi)
{
    GATE(MAKE);

    return open_at(path, fi->flags | O_CREAT, mode, fi);
}


static int
fs_open(const char *path, struct fuse_file_info *fi)
{
    int write = (fi->flags & O_ACCMODE) != O_RDONLY;

    GATE(LOOK);

    if (write && on[READ_ONLY]) {
        return -EROFS;
    }

    return open_at(path, fi->flags & ~(O_CREAT | O_EXCL), 0, fi);
}


static int
fs_read(const char *path, char *buf, size_t size, off_t offset,
        struct fuse_file_info *fi)
{
    (void) path;
    GATE(READ);

    return result(pread((int) fi->fh, buf, size, offset));
}


static int
fs_write(const char *path, const char *buf, size_t size, off_t offset,
         struct fuse_file_info *fi)
{
    (void) path;
    GATE(WRITE);

    return result(pwrite((int) fi->fh, buf, size, offset));
}


static int
fs_fsync(const char *path, int data, struct fuse_file_info *fi)
{
    (void) path;
    (void) data;
    (void) fi;
    GATE(SYNC);

    return 0;
}


static int
fs_release(const char *path, struct fuse_file_info *fi)
{
    (void) path;

    return result(close((int) fi->fh));
}


static int
fs_fallocate(const char *path, int mode, off_t offset, off_t length,
             struct fuse_file_info *fi)
{
    (void) path;
    GATE(WRITE);

    return result(fallocate((int) fi->fh, mode, offset, length));
}


static int
fs_statfs(const char *path, struct statvfs *st)
{
    int rc;

    (void) path;
    GATE(LOOK);

    rc = result(fstatvfs(source, st));

    if (rc == 0 && on[NO_SPACE]) {
        st->f_bfree = st->f_bavail = 0;
    }

    return rc;
}


static const struct fuse_operations operations = {
    .init = fs_init,
    .getattr = fs_getattr,
    .readdir = fs_readdir,
    .mkdir = fs_mkdir,
    .unlink = fs_unlink,
    .rmdir = fs_rmdir,
    .rename = fs_rename,
    .chmod = fs_chmod,
    .chown = fs_chown,
    .truncate = fs_truncate,
    .utimens = fs_utimens,
    .create = fs_create,
    .open = fs_open,
    .read = fs_read,
    .write = fs_write,
    .fsync = fs_fsync,
    .fsyncdir = fs_fsync,
    .release = fs_release,
    .fallocate = fs_fallocate,
    .statfs = fs_statfs,
};


int
main(int argc, char **argv)
{
    int fd;

    if (argc < 4) {
        fprintf(stderr, "usage: faultfs SWITCHES SOURCE MOUNTPOINT ...\n");
        return 2;
    }

    fd = open(argv[1], O_RDWR);
    source = open(argv[2], O_RDONLY | O_DIRECTORY);

    if (fd == -1 || source == -1) {
        perror("faultfs");
        return 1;
    }

    on = mmap(NULL, SWITCHES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (on == MAP_FAILED) {
        perror("faultfs: mmap");
        return 1;
    }

    umask(0);
    argv[2] = argv[0];

    return fuse_main(argc - 2, argv + 2, &operations, NULL);
}
