#include "s3_error.h"

#include <stdarg.h>
#include <stdio.h>

#pragma GCC visibility push(hidden)

typedef struct {
    const char *code;
    const char *message;
    int status;
} s3_error_row_t;


static const s3_error_row_t s3_error_rows[] = {{"", "", 200},
#define S3_ERROR_ROW(name, status, code, message) {code, message, status},
                                               S3_ERROR_TABLE(S3_ERROR_ROW)
#undef S3_ERROR_ROW
};


static const s3_error_row_t *
s3_error_row(s3_err_t err)
{
    unsigned int i = (unsigned int) err;

    return &s3_error_rows[i < S3_ERR_MAX ? i : 0];
}


const char *
s3_err_code(s3_err_t err)
{
    return s3_error_row(err)->code;
}


const char *
s3_err_message(s3_err_t err)
{
    return s3_error_row(err)->message;
}


int
s3_err_status(s3_err_t err)
{
    return s3_error_row(err)->status;
}


s3_err_t
s3_err_find(s3_str_t code)
{
    unsigned int i;
    const char *p;

    for (i = 1; i < S3_ERR_MAX; i++) {
        p = s3_error_rows[i].code;

        if (strlen(p) == code.len && memcmp(p, code.data, code.len) == 0) {
            return (s3_err_t) i;
        }
    }

    return S3_ERR_NONE;
}


s3_err_t
s3_err_from_rc(int rc)
{
    if (rc >= 0) {
        return S3_ERR_NONE;
    }

    switch (rc) {

    case S3_ENOENT:
        return S3_ERR_NO_SUCH_KEY;

    case S3_EPRECOND:
        return S3_ERR_PRECONDITION_FAILED;

    case S3_ECONFLICT:
        return S3_ERR_CONDITIONAL_REQUEST_CONFLICT;

    case S3_ESTALE:
        return S3_ERR_NO_SUCH_BUCKET;

    case S3_ENOSPC:
        return S3_ERR_INSUFFICIENT_STORAGE;

    case S3_ENOMEM:
        return S3_ERR_SLOW_DOWN;

    case S3_EUNAVAIL:
    case S3_EDOUBT:
        return S3_ERR_SERVICE_UNAVAILABLE;

    default:
        return S3_ERR_INTERNAL_ERROR;
    }
}


s3_err_t
s3_fault(s3_fault_t *f, s3_err_t err, const char *message)
{
    if (f != NULL) {
        f->err = err;
        f->message = message;
        f->nextra = 0;
        f->text[0] = '\0';
    }

    return err;
}


s3_err_t
s3_faultf(s3_fault_t *f, s3_err_t err, const char *fmt, ...)
{
    va_list args;

    if (f != NULL) {
        s3_fault(f, err, NULL);

        va_start(args, fmt);
        (void) vsnprintf(f->text, sizeof(f->text), fmt, args);
        va_end(args);
    }

    return err;
}


void
s3_fault_add(s3_fault_t *f, const char *name, s3_str_t value)
{
    s3_fault_extra_t *e;

    if (f != NULL && f->nextra < S3_FAULT_EXTRAS) {
        e = &f->extra[f->nextra++];
        e->name = name;
        e->value = value.data != NULL ? value : s3_string("");
        e->number = 0;
    }
}


void
s3_fault_add_u64(s3_fault_t *f, const char *name, uint64_t value)
{
    s3_fault_extra_t *e;

    if (f != NULL && f->nextra < S3_FAULT_EXTRAS) {
        e = &f->extra[f->nextra++];
        e->name = name;
        e->value = s3_null_str;
        e->number = value;
    }
}


s3_err_t
s3_fault_arg(s3_fault_t *f, const char *message, const char *name,
             s3_str_t value)
{
    s3_fault(f, S3_ERR_INVALID_ARGUMENT, message);
    s3_fault_add(f, "ArgumentName", s3_str(name, strlen(name)));
    s3_fault_add(f, "ArgumentValue", value);

    return S3_ERR_INVALID_ARGUMENT;
}


const char *
s3_fault_message(const s3_fault_t *f)
{
    if (f->message != NULL) {
        return f->message;
    }

    return f->text[0] != '\0' ? f->text : s3_err_message(f->err);
}

#pragma GCC visibility pop
