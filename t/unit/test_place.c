#include "t/unit/s3_test.h"
#include "storage/s3_place.h"


static s3_place_t place, bigger;


static void
test_slots(void)
{
    unsigned i, slot, used;
    char name[32];
    static unsigned count[S3_SLOTS];
    s3_str_t key;

    s3_place_init(&place, 4, 77);
    used = 0;

    for (i = 0; i < 100000; i++) {
        key = s3_str(name, (size_t) snprintf(name, sizeof(name), "key-%u", i));
        slot = s3_place_slot(&place, 1024, key);
        REQUIRE(slot < S3_SLOTS);
        used += count[slot]++ == 0;
    }

    CHECK_INT(used, S3_SLOTS);

    for (i = 0; i < S3_SLOTS; i++) {
        CHECK(count[i] < 60);
    }

    /* an object, its uploads and their parts are in one slot; others are not
     * because of it */

    slot = s3_place_slot(&place, 1024, s3_string("photos/cat"));
    CHECK_INT(s3_place_slot(&place, 1025, s3_string("photos/cat\0id")), slot);
    CHECK_INT(s3_place_slot(&place, 1026, s3_string("photos/cat\0id\0\0\1")),
              slot);
    CHECK(s3_place_slot(&place, 1028, s3_string("photos/cat")) != slot);
    CHECK(s3_place_slot(&place, 1024, s3_string("photos/dog")) != slot);

    s3_place_init(&bigger, 4, 78);
    CHECK(s3_place_slot(&bigger, 1024, s3_string("photos/cat")) != slot);

    /* empty and overlong keys have a slot, too */

    CHECK(s3_place_slot(&place, 0, s3_null_str) < S3_SLOTS);
}


static void
test_order(void)
{
    unsigned n, slot, i, j, first[S3_MAX_DRIVES], moved;
    uint32_t mask;

    for (n = 1; n <= S3_MAX_DRIVES; n++) {
        s3_place_init(&place, n, 5);
        memset(first, 0, sizeof(first));

        for (slot = 0; slot < S3_SLOTS; slot++) {
            mask = 0;

            for (i = 0; i < n; i++) {
                REQUIRE(place.order[slot][i] < n);
                mask |= (uint32_t) 1 << place.order[slot][i];
            }

            REQUIRE(__builtin_popcount(mask) == (int) n);
            first[place.order[slot][0]]++;
        }

        /* even within a third of the mean, or a few */

        for (i = 0; i < n; i++) {
            CHECK(first[i] * 3 * n > 2 * S3_SLOTS);
            CHECK(first[i] * 3 * n < 4 * S3_SLOTS);
        }
    }

    /* one drive more changes nothing among the others */

    s3_place_init(&place, 5, 5);
    s3_place_init(&bigger, 6, 5);
    moved = 0;

    for (slot = 0; slot < S3_SLOTS; slot++) {
        for (i = j = 0; i < 6; i++) {
            if (bigger.order[slot][i] != 5) {
                REQUIRE(bigger.order[slot][i] == place.order[slot][j++]);
            }
        }

        moved += bigger.order[slot][0] == 5;
    }

    CHECK(moved > S3_SLOTS / 8 && moved < S3_SLOTS / 4);
}


static void
test_ranks(void)
{
    int rank;
    unsigned i, d, slot;
    uint32_t mask, first;

    s3_place_init(&place, 7, 9);

    for (i = 0; i < 20000; i++) {
        slot = i % S3_SLOTS;
        mask = i * 2654435761u >> 7 & 127;
        d = i % 7;
        rank = s3_place_rank(&place, slot, mask, d);

        if (!(mask >> d & 1)) {
            CHECK_INT(rank, -1);
            continue;
        }

        CHECK_INT(s3_place_drive(&place, slot, mask, (unsigned) rank), d);

        first = s3_place_first(&place, slot, mask, (unsigned) rank + 1);
        CHECK_INT(__builtin_popcount(first), rank + 1);
        CHECK(first >> d & 1);
        CHECK((first & ~mask) == 0);
    }

    CHECK_INT(s3_place_rank(&place, S3_SLOTS, 127, 0), -1);
    CHECK_INT(s3_place_drive(&place, 65535, 127, 0), -1);
    CHECK_INT(s3_place_drive(&place, 0, 7, 3), -1);
    CHECK_INT(s3_place_first(&place, 0, 127, 0), 0);
}


int
main(void)
{
    test_slots();
    test_order();
    test_ranks();

    return S3_TEST_END();
}
