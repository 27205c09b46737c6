/*
 * JSON as text, in memory that runs out.
 *
 * json_dumps() of jansson (2.14 at least) passes over a failed allocation
 * where it writes the key of an object, and answers text without that key.
 * Into a buffer that is there it writes without fail; the only allocations
 * left are of those whose failure it reports.
 */

#ifndef S3_JSON_H_
#define S3_JSON_H_

#include "storage/s3_core.h"

#include <jansson.h>


/* The text of `root`, to be freed with free(), with a NUL behind it and room
 * for `spare` bytes more; *len without them.  NULL: no memory, or root is
 * NULL. */
char *s3_json_text(const json_t *root, size_t flags, size_t spare, size_t *len);


/*
 * Around json_loadb(), the use of what it gives and json_decref(): between the
 * two, jansson takes its memory from one block that s3_json_begin() has got,
 * enough for a text of len bytes.  Its lexer passes over failed allocations as
 * well: it drops bytes, or ends the process by an assertion.  One at a time in
 * a thread.  S3_OK or S3_ENOMEM; s3_json_end() only after S3_OK.
 */
int s3_json_begin(size_t len);
void s3_json_end(void);


/* An id as 32 lower-case hex digits, with a NUL; get: S3_ECORRUPT of anything
 * else. */
#define S3_JSON_ID 33
void s3_json_put_id(char text[S3_JSON_ID], const uint8_t id[16]);
int s3_json_get_id(const json_t *value, uint8_t id[16]);


#endif /* S3_JSON_H_ */
