
/*
 * What differs between nginx 1.22 and 1.29, in one place.
 */

#ifndef _NGX_S3_COMPAT_H_INCLUDED_
#define _NGX_S3_COMPAT_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <nginx.h>


/* 1.23.0: headers of one name are linked; a pushed header must say NULL */

#if (nginx_version >= 1023000)

#define ngx_s3_header_end(h)  (h)->next = NULL

#else

#define ngx_s3_header_end(h)

#endif


/* 1.27.2: ngx_http_parse_chunked() may keep the trailers */

#if (nginx_version >= 1027002)

#define ngx_s3_parse_chunked(r, b, ctx)  ngx_http_parse_chunked(r, b, ctx, 0)

#else

#define ngx_s3_parse_chunked(r, b, ctx)  ngx_http_parse_chunked(r, b, ctx)

#endif


#endif /* _NGX_S3_COMPAT_H_INCLUDED_ */
