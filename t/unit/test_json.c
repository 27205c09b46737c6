/* Text of JSON where any single allocation fails: the whole text or none. */

#include "storage/s3_json.h"

#include "s3_test.h"


static int left;
static int failed;


static void *
failing(size_t size)
{
    if (left > 0 && --left == 0) {
        failed = 1;
        return NULL;
    }

    return malloc(size);
}


int
main(void)
{
    int i;
    char *text;
    size_t len;
    json_t *root;

    json_set_alloc_funcs(failing, free);

    root =
        json_pack("{s:i,s:s,s:[[s,s]],s:{s:I}}", "id", 3, "region", "us-east-1",
                  "tags", "key", "value", "floor", "time", (json_int_t) 1);
    REQUIRE(root != NULL);

    for (i = 1; i < 100; i++) {
        left = i;
        failed = 0;
        text = s3_json_text(root, JSON_COMPACT, 4, &len);
        left = 0;

        CHECK(text != NULL || failed);

        if (text) {
            CHECK_STR(text, "{\"id\":3,\"region\":\"us-east-1\","
                            "\"tags\":[[\"key\",\"value\"]],"
                            "\"floor\":{\"time\":1}}");
            CHECK_INT(len, strlen(text));
            memset(text + len, 'x', 5);
        }

        free(text);

        if (!failed) {
            break;
        }
    }

    CHECK(i < 100);
    json_decref(root);
    CHECK(s3_json_text(NULL, 0, 0, &len) == NULL);

    return S3_TEST_END();
}
