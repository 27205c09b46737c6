#include "t/unit/s3_test.h"
#include "t/unit/s3_nodebed.h"
#include "storage/s3_local_int.h"

/*
 * While somebody writes tables stay side by side; once nobody does they become
 * one, and the memtable with them, unless it is much smaller than they are.
 */

#define SECOND S3_NODEBED_SECOND
#define DRIVES 2
#define SIZE 100

static bed_t b;
static s3_nodebed_t nb;


static s3_str_t
name_of(unsigned i)
{
    static char name[32];

    return s3_str(name, (size_t) snprintf(name, sizeof(name), "key/%05u", i));
}


static void
put_keys(unsigned from, unsigned to, unsigned salt)
{
    unsigned i;
    uint8_t *data;

    for (i = from; i < to; i++) {
        data = bed_data(SIZE, i + salt);
        CHECK_INT(bed_put(&b, i % 2, name_of(i), 0, data, SIZE, 0, 60000),
                  S3_OK);
        free(data);
    }
}


static void
check_keys(unsigned from, unsigned to, unsigned salt)
{
    unsigned i;
    uint8_t *data;

    for (i = from; i < to; i++) {
        data = bed_data(SIZE, i + salt);
        CHECK_INT(bed_get(&b, i % 2, name_of(i), data, SIZE), S3_OK);
        free(data);
    }
}


/* What a drive's memtable has, and its tables. */

static unsigned
in_memory(unsigned d)
{
    s3_zdrive_t *zd = &nb.zone->drives[d];

    return s3_memtable_count(s3_zone_arena(nb.zone, d, zd->active));
}


static unsigned
tables(unsigned d)
{
    return s3_zone_tables(&nb.zone->drives[d])->n;
}


static void
check_tables(unsigned n)
{
    unsigned d;

    for (d = 0; d < DRIVES; d++) {
        CHECK_INT(tables(d), n);
    }
}


static void
check_drives(unsigned n, int memory)
{
    unsigned d;

    check_tables(n);

    for (d = 0; d < DRIVES; d++) {
        CHECK_INT(in_memory(d) > 0, memory);
    }
}


static void
pause_for(double seconds)
{
    s3_sim_sleep(b.sim, (uint64_t) (seconds * SECOND));
}


/* The memtable becomes a table, as it does when it is full. */

static void
flush_all(void)
{
    unsigned d, i;
    uint64_t before;
    s3_local_t *l;
    s3_zdrive_t *zd;

    for (d = 0; d < DRIVES; d++) {
        zd = &nb.zone->drives[d];
        before = zd->flushes;
        l = s3_container(b.drive[0][d], s3_local_t, drive);
        s3_local_lock(l);
        CHECK_INT(s3_local_freeze(l), S3_OK);
        s3_local_unlock(l);

        for (i = 0; i < 100 && zd->flushes == before; i++) {
            pause_for(0.01);
        }

        CHECK_INT(zd->flushes, before + 1);
    }
}


static void
test_rest(void)
{
    unsigned i;
    uint64_t flushes, merges;

    s3_nodebed_init(&nb, &b, 3, DRIVES, 1, 1024 * 1024);
    s3_nodebed_start(&nb, 0);

    /* three tables of a size; a fourth would be merged with them at once */
    for (i = 0; i < 3; i++) {
        put_keys(100 * i, 100 * i + 150, i);
        pause_for(1);
        flush_all();
    }

    put_keys(300, 350, 3);
    check_drives(3, 1);

    /* somebody writes, now and then */
    for (i = 0; i < 5; i++) {
        pause_for(3);
        put_keys(300, 301, 3);
    }

    check_drives(3, 1);
    pause_for(4);
    check_drives(3, 1);
    flushes = nb.zone->drives[0].flushes;
    pause_for(2);
    check_tables(1);
    CHECK(nb.zone->drives[0].flushes > flushes);

    /* what tables cover now can be cleaned: that writes, too, but little */
    pause_for(20);
    check_tables(1);

    check_keys(0, 100, 0);
    check_keys(100, 200, 1);
    check_keys(200, 300, 2);
    check_keys(300, 350, 3);

    /* not for so little */
    merges = nb.zone->drives[0].merges;
    put_keys(0, 1, 4);
    pause_for(20);
    check_drives(1, 1);
    CHECK_INT(nb.zone->drives[0].merges, merges);

    /* as soon as it is worth it, the table is part of it again */
    put_keys(1, 100, 4);
    pause_for(20);
    check_tables(1);
    CHECK(nb.zone->drives[0].merges > merges);

    check_keys(0, 100, 4);
    check_keys(100, 200, 1);

    s3_nodebed_stop(&nb, 0);
    s3_nodebed_start(&nb, 0);
    check_keys(0, 100, 4);
    check_keys(300, 350, 3);

    s3_nodebed_stop(&nb, 0);
    s3_nodebed_free(&nb);
}


int
main(void)
{
    test_rest();

    return S3_TEST_END();
}
