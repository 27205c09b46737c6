/* The error table: codes are unique and found again, results map. */

#include "s3_error.h"

#include "s3_test.h"


static void
test_table(void)
{
    int i;
    const char *code;

    for (i = 1; i < S3_ERR_MAX; i++) {
        code = s3_err_code((s3_err_t) i);

        CHECK(code[0] >= 'A' && code[0] <= 'Z');
        CHECK(s3_err_message((s3_err_t) i)[0] != '\0');
        CHECK(s3_err_status((s3_err_t) i) >= 300);
        CHECK(s3_err_status((s3_err_t) i) < 600);
        CHECK_INT(s3_err_find(s3_str(code, strlen(code))), i);
    }

    CHECK_INT(s3_err_find(s3_string("nosuchkey")), S3_ERR_NONE);
    CHECK_INT(s3_err_find(s3_null_str), S3_ERR_NONE);
    CHECK_STR(s3_err_code(S3_ERR_NONE), "");
    CHECK_STR(s3_err_code((s3_err_t) -5), "");
    CHECK_STR(s3_err_code((s3_err_t) 100000), "");
}


static void
test_known(void)
{
    CHECK_STR(s3_err_code(S3_ERR_NO_SUCH_KEY), "NoSuchKey");
    CHECK_STR(s3_err_message(S3_ERR_NO_SUCH_KEY),
              "The specified key does not exist.");
    CHECK_INT(s3_err_status(S3_ERR_NO_SUCH_KEY), 404);
    CHECK_INT(s3_err_status(S3_ERR_INVALID_RANGE), 416);
    CHECK_INT(s3_err_status(S3_ERR_NOT_IMPLEMENTED), 501);
    CHECK_INT(s3_err_status(S3_ERR_SLOW_DOWN), 503);
    CHECK_STR(s3_err_code(S3_ERR_KMS_NOT_FOUND_EXCEPTION),
              "KMS.NotFoundException");
    CHECK_STR(s3_err_code(S3_ERR_X_AMZ_CONTENT_SHA256_MISMATCH),
              "XAmzContentSHA256Mismatch");
}


static void
test_rc(void)
{
    CHECK_INT(s3_err_from_rc(S3_OK), S3_ERR_NONE);
    CHECK_INT(s3_err_from_rc(17), S3_ERR_NONE);
    CHECK_INT(s3_err_from_rc(S3_EUNAVAIL), S3_ERR_SERVICE_UNAVAILABLE);
    CHECK_INT(s3_err_from_rc(S3_EDOUBT), S3_ERR_SERVICE_UNAVAILABLE);
    CHECK_INT(s3_err_from_rc(S3_ENOSPC), S3_ERR_INSUFFICIENT_STORAGE);
    CHECK_INT(s3_err_status(s3_err_from_rc(S3_ENOSPC)), 507);
    CHECK_INT(s3_err_from_rc(S3_ENOENT), S3_ERR_NO_SUCH_KEY);
    CHECK_INT(s3_err_from_rc(S3_EPRECOND), S3_ERR_PRECONDITION_FAILED);
    CHECK_INT(s3_err_from_rc(S3_ECONFLICT),
              S3_ERR_CONDITIONAL_REQUEST_CONFLICT);
    CHECK_INT(s3_err_from_rc(S3_ESTALE), S3_ERR_NO_SUCH_BUCKET);
    CHECK_INT(s3_err_from_rc(S3_ENOMEM), S3_ERR_SLOW_DOWN);
    CHECK_INT(s3_err_from_rc(S3_EIO), S3_ERR_INTERNAL_ERROR);
    CHECK_INT(s3_err_from_rc(-1000), S3_ERR_INTERNAL_ERROR);
}


static void
test_fault(void)
{
    int i;
    s3_fault_t f, copy;

    CHECK_INT(s3_fault(NULL, S3_ERR_BAD_DIGEST, NULL), S3_ERR_BAD_DIGEST);
    CHECK_INT(s3_faultf(NULL, S3_ERR_BAD_DIGEST, "%d", 1), S3_ERR_BAD_DIGEST);
    s3_fault_add(NULL, "A", s3_string("b"));
    s3_fault_add_u64(NULL, "A", 1);

    s3_fault(&f, S3_ERR_BAD_DIGEST, NULL);
    CHECK_STR(s3_fault_message(&f), s3_err_message(S3_ERR_BAD_DIGEST));

    s3_faultf(&f, S3_ERR_INVALID_REQUEST, "no %s", "way");
    CHECK_STR(s3_fault_message(&f), "no way");

    /* a copy does not point into the original */
    copy = f;
    f.text[0] = 'X';
    CHECK_STR(s3_fault_message(&copy), "no way");

    s3_faultf(&f, S3_ERR_INVALID_REQUEST, "%0400d", 1);
    CHECK_INT(strlen(s3_fault_message(&f)), S3_FAULT_TEXT - 1);

    s3_fault_arg(&f, "m", "name", s3_null_str);
    CHECK_INT(f.nextra, 2);
    CHECK(f.extra[1].value.data != NULL);

    for (i = 0; i < 20; i++) {
        s3_fault_add_u64(&f, "N", 1);
    }

    CHECK_INT(f.nextra, S3_FAULT_EXTRAS);
}


int
main(void)
{
    test_table();
    test_known();
    test_rc();
    test_fault();

    return S3_TEST_END();
}
