
/*
 * When a file was last written; see ngx_s3_fs.h.
 */


#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "ngx_s3_fs.h"


int
ngx_s3_fs_mtime(s3_fs_t *fs, const char *path, uint64_t *seconds)
{
    struct stat  st;

    if (fstatat(ngx_s3_fs_dir(fs), path, &st, AT_SYMLINK_NOFOLLOW) == -1) {
        return errno == ENOENT ? S3_ENOENT : S3_EIO;
    }

    *seconds = st.st_mtime > 0 ? (uint64_t) st.st_mtime : 0;

    return S3_OK;
}
