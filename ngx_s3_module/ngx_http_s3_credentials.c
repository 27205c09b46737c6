
/*
 * s3_credentials file | env:NAME
 *
 * Lines "access-key:secret-key"; empty lines and lines that begin with '#' are
 * passed over.  The first credential names the account.  From the environment
 * the same, separated by white space.  A file that everybody may read is
 * refused.
 */


#include "ngx_http_s3_module.h"


#define NGX_HTTP_S3_CREDENTIALS_MAX  (1024 * 1024)


static char *ngx_http_s3_credentials_env(ngx_conf_t *cf, ngx_str_t *name,
    ngx_str_t *text);
static char *ngx_http_s3_credentials_file(ngx_conf_t *cf, ngx_str_t *name,
    ngx_str_t *text);
static char *ngx_http_s3_credentials_parse(ngx_conf_t *cf, ngx_str_t *name,
    ngx_str_t *text, ngx_array_t *list);
static char *ngx_http_s3_credentials_add(ngx_conf_t *cf, ngx_str_t *name,
    ngx_uint_t line, u_char *p, u_char *last, ngx_array_t *list);


char *
ngx_http_s3_credentials(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_s3_loc_conf_t *slcf = conf;

    char         *rv;
    ngx_str_t    *value, name, text;
    ngx_array_t  *list;

    if (slcf->credentials != NGX_CONF_UNSET_PTR) {
        return "is duplicate";
    }

    value = cf->args->elts;
    name = value[1];

    if (ngx_strncmp(name.data, "env:", 4) == 0) {
        rv = ngx_http_s3_credentials_env(cf, &name, &text);

    } else {
        rv = ngx_http_s3_credentials_file(cf, &name, &text);
    }

    if (rv != NGX_CONF_OK) {
        return rv;
    }

    list = ngx_array_create(cf->pool, 4, sizeof(ngx_http_s3_credential_t));
    if (list == NULL) {
        return NGX_CONF_ERROR;
    }

    rv = ngx_http_s3_credentials_parse(cf, &name, &text, list);

    if (rv != NGX_CONF_OK) {
        return rv;
    }

    if (list->nelts == 0) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "no credentials in \"%V\": write lines "
                           "\"access-key:secret-key\"", &name);
        return NGX_CONF_ERROR;
    }

    slcf->credentials = list;

    return NGX_CONF_OK;
}


static char *
ngx_http_s3_credentials_env(ngx_conf_t *cf, ngx_str_t *name, ngx_str_t *text)
{
    char    *value;
    u_char  *p;

    value = getenv((char *) name->data + 4);

    if (value == NULL) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "environment variable \"%s\" for "
                           "\"s3_credentials\" is not set", name->data + 4);
        return NGX_CONF_ERROR;
    }

    text->len = ngx_strlen(value);

    text->data = ngx_pnalloc(cf->pool, text->len + 1);
    if (text->data == NULL) {
        return NGX_CONF_ERROR;
    }

    ngx_memcpy(text->data, value, text->len + 1);

    for (p = text->data; *p; p++) {
        if (*p == ' ' || *p == '\t' || *p == ',') {
            *p = '\n';
        }
    }

    return NGX_CONF_OK;
}


static char *
ngx_http_s3_credentials_file(ngx_conf_t *cf, ngx_str_t *name, ngx_str_t *text)
{
    char             *rv;
    off_t             size;
    ssize_t           n;
    ngx_fd_t          fd;
    ngx_file_info_t   fi;

    if (ngx_conf_full_name(cf->cycle, name, 1) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    fd = ngx_open_file(name->data, NGX_FILE_RDONLY, NGX_FILE_OPEN, 0);

    if (fd == NGX_INVALID_FILE) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, ngx_errno,
                           ngx_open_file_n " \"%V\" failed", name);
        return NGX_CONF_ERROR;
    }

    rv = NGX_CONF_ERROR;

    if (ngx_fd_info(fd, &fi) == NGX_FILE_ERROR) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, ngx_errno,
                           ngx_fd_info_n " \"%V\" failed", name);
        goto done;
    }

    if (fi.st_mode & (S_IROTH|S_IWOTH)) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"%V\" holds secrets and is open to everybody: "
                           "chmod 600 it", name);
        goto done;
    }

    size = ngx_file_size(&fi);

    if (size > NGX_HTTP_S3_CREDENTIALS_MAX) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"%V\" is too large for a list of credentials",
                           name);
        goto done;
    }

    text->data = ngx_pnalloc(cf->pool, size + 1);
    if (text->data == NULL) {
        goto done;
    }

    n = ngx_read_fd(fd, text->data, size);

    if (n == -1) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, ngx_errno,
                           ngx_read_fd_n " \"%V\" failed", name);
        goto done;
    }

    text->len = n;
    rv = NGX_CONF_OK;

done:

    if (ngx_close_file(fd) == NGX_FILE_ERROR) {
        ngx_conf_log_error(NGX_LOG_ALERT, cf, ngx_errno,
                           ngx_close_file_n " \"%V\" failed", name);
    }

    return rv;
}


static char *
ngx_http_s3_credentials_parse(ngx_conf_t *cf, ngx_str_t *name,
    ngx_str_t *text, ngx_array_t *list)
{
    char        *rv;
    u_char      *p, *end, *last;
    ngx_uint_t   line;

    p = text->data;
    end = p + text->len;

    for (line = 1; p < end; line++) {

        last = ngx_strlchr(p, end, '\n');
        if (last == NULL) {
            last = end;
        }

        if (last > p && *p != '#' && !(last == p + 1 && *p == '\r')) {
            rv = ngx_http_s3_credentials_add(cf, name, line, p, last, list);

            if (rv != NGX_CONF_OK) {
                return rv;
            }
        }

        p = last + 1;
    }

    return NGX_CONF_OK;
}


static char *
ngx_http_s3_credentials_add(ngx_conf_t *cf, ngx_str_t *name, ngx_uint_t line,
    u_char *p, u_char *last, ngx_array_t *list)
{
    u_char                    *colon;
    ngx_uint_t                 i;
    ngx_http_s3_credential_t  *c, *known;

    while (last > p && (last[-1] == '\r' || last[-1] == ' ')) {
        last--;
    }

    colon = ngx_strlchr(p, last, ':');

    if (colon == NULL || colon - p < 3 || last - colon < 9) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "line %ui of \"%V\" is not "
                           "\"access-key:secret-key\" with at least 3 and 8 "
                           "characters", line, name);
        return NGX_CONF_ERROR;
    }

    known = list->elts;

    for (i = 0; i < list->nelts; i++) {
        if (known[i].access_key.len == (size_t) (colon - p)
            && ngx_memcmp(known[i].access_key.data, p, colon - p) == 0)
        {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "line %ui of \"%V\" repeats an access key",
                               line, name);
            return NGX_CONF_ERROR;
        }
    }

    c = ngx_array_push(list);
    if (c == NULL) {
        return NGX_CONF_ERROR;
    }

    c->access_key.data = p;
    c->access_key.len = colon - p;
    c->secret_key.data = colon + 1;
    c->secret_key.len = last - colon - 1;

    return NGX_CONF_OK;
}
