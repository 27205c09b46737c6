"""What drives do: go away, come back, get full, fail, hang.

n = 4, m = 2, W = 3, R = 2: writes go on with one drive away, reads with two.
"""

import os
import signal
import time

from faults import (Directory, Faulty, HANG_ALL, HANG_DATA, Loop, NO_READ,
                    NO_SPACE, NO_SYNC, NO_WRITE, READ_ONLY, World, until)
from load import Client, Load, content

SMALL = (0, 1024, 1024, 65536, 300 * 1024)


def put_get(world, key="probe"):
    """Seconds that a PUT and a GET take; both have to succeed."""
    client = Client(world.port, 60)
    begin = time.monotonic()
    body = content(time.monotonic_ns(), 4096)
    answer = client.ask("PUT", f"/load/{key}", body=body)
    assert answer and answer.status == 200, answer
    answer = client.ask("GET", f"/load/{key}")
    assert answer and answer.status == 200 and answer.body == body, answer
    client.close()
    return time.monotonic() - begin


def lines(text, path):
    """Lines above notice about a drive."""
    return [line for line in text.splitlines()
            if str(path) in line and ("[alert]" in line or "[error]" in line
                                      or "[crit]" in line
                                      or "[warn]" in line)]


def one(world, load, victim, fail, mend, pattern, limit, back, state):
    """A drive fails under load: nothing else does; it comes back."""
    load.start()
    time.sleep(1)
    assert not load.failed(), load.failed()[:3]
    world.news()
    begin = time.monotonic()
    fail()
    world.says(pattern, 20)
    noticed = time.monotonic() - begin
    time.sleep(2)
    failed = load.failed(begin)
    slow = max(t[1] for t in load.times(begin))
    told = lines(world.log()[world.seen:], victim.path)
    shown = world.status()["drives"][world.drives.index(victim)]
    assert not failed, (failed[:5], told)
    assert slow < limit, f"a request took {slow:.1f} s"
    assert 1 <= len(told) <= 3, told
    assert shown["state"] == state and shown["reason"], shown
    assert put_get(world) < 2
    world.news()
    mend()
    world.says(back, 60)
    load.stop()
    return (f"{shown['state']} ({shown['reason']}) in {noticed:.1f} s, slowest "
            f"answer {slow:.2f} s, {len(told)} line(s)")


def needed(world, load, victim):
    """What the drive has missed is there: all is readable from it and one
    more."""
    others = [d for d in world.drives if d is not victim][:2]
    world.stop()
    for d in others:
        d.off()
    world.start()
    load.check(10)
    world.stop()
    for d in others:
        d.on()
    world.start()


def with_one(kind, fail, mend, pattern, limit, back, long, state, **more):
    with World([kind] * 4, **more) as world:
        world.start()
        load = Load(world, threads=4, sizes=SMALL, pause=0.005)
        load.make_bucket()
        for i in range(4 if long else 1):
            victim = world.drives[(i + 1) % 4]
            said = one(world, load, victim, lambda: fail(victim),
                       lambda: mend(victim), pattern, limit, back, state)
            took = until("all is repaired", 120, world.healed)
            load.check()
            needed(world, load, victim)
        world.stop()
    return said + f", repaired in {took:.1f} s"


def test_missing(long):
    return with_one(Directory, Directory.away, Directory.back,
                    "has gone away", 3, "is back", long, "missing")


def long_unmounted(long):
    def away(d):
        d.umount(lazy=True)

    return with_one(lambda w, i: Loop(w, i, "xfs"), away, Loop.mount,
                    "has gone away", 3, "is back", long, "missing",
                    more="s3_zone_size 16m;")


def with_switch(switch, pattern, limit, back, long, state):
    return with_one(Faulty, lambda d: d.set(switch), Faulty.set, pattern,
                    limit, back, long, state)


def test_write_error(long):
    return with_switch(NO_WRITE, r"log( write)?: ", 3,
                       "works again|writes again", long, "failing")


def test_cleaned(long):
    """Writes that failed are not taken for damage when the segment that they
    were to is cleaned."""
    with World([Faulty] * 4, workers=2) as world:
        world.start()
        load = Load(world, threads=3, sizes=SMALL)
        load.make_bucket()
        load.start()
        time.sleep(1)
        for _ in range(8 if long else 3):
            world.drives[3].set(NO_SPACE)
            time.sleep(2)
            world.drives[3].set()
            time.sleep(5)
        load.stop()
        client = Client(world.port)
        for key, states in load.keys.items():
            if states != [None]:
                client.ask("DELETE", f"/load/{key}")
        client.close()
        world.stop()
        world.start()
        time.sleep(10)
        damaged = world.count("cleaning .*damaged")
        assert not damaged, f"{damaged} segments are left"
        freed = len(list((world.drives[3].source / "log").iterdir()))
        world.stop()
    return f"{freed} segments"


def long_sync_error(long):
    return with_switch(NO_SYNC, r"log( write)?: ", 3,
                       "works again|writes again", long, "failing")


def test_read_error(long):
    return with_switch(NO_READ, "reads: ", 3, "works again", long, "failing")


def long_read_only(long):
    return with_switch(READ_ONLY, "read-only", 3, "works again|writes again",
                       long, "readonly")


def test_hung_data(long):
    return with_switch(HANG_DATA, "hangs", 8, "works again", long, "hung")


def long_hung_all(long):
    return with_switch(HANG_ALL, "hangs", 8, "works again", long, "hung")


def test_hung_processes(long):
    """While a drive hangs: workers die and are started, reload, start; the
    store goes on without it, and with it when it answers."""
    with World([Faulty] * 4, workers=2) as world:
        world.start()
        # those of a worker that cannot end have to give up by themselves
        load = Load(world, threads=3, sizes=SMALL, pause=0.01, retry=False,
                    timeout=60 if long else 10)
        load.make_bucket()
        load.start()
        time.sleep(1)
        victim = world.drives[2]
        victim.set(HANG_ALL)
        world.says("hangs", 10)
        time.sleep(1)
        old = world.workers()
        os.kill(world.pid(), signal.SIGHUP)
        until("new workers", 10,
              lambda: len(set(world.workers()) - set(old)) >= 2)
        time.sleep(1)
        assert put_get(world) < 2
        # one that has asked the drive something stays as long as it hangs
        fresh = list(set(world.workers()) - set(old))
        begin = time.monotonic()
        world.kill_workers(fresh)
        until("another worker", 10,
              lambda: set(world.workers()) - set(old) - set(fresh))
        time.sleep(0.5)
        for _ in range(10):
            assert put_get(world) < 2
        # all may have been clients of those that cannot end
        until("others are served", 15,
              lambda: load.times(begin, answered=True))
        slow = max(t[1] for t in load.times(begin, answered=True))
        load.stop()
        # what was killed may go on until it can die, when the drive answers
        load.check(decided=False)
        victim.set()
        world.says("works again", 30)
        load.check()
        world.stop()

        # hangs at the start, answers later
        victim.set(HANG_ALL)
        world.news()
        took = world.start()
        assert took < 10, took
        assert put_get(world, "while") < 2
        load.check()
        victim.set()
        world.says("is back", 30)
        until("it is used", 20, lambda: put_get(world, "after") < 2)
        end = world.stop()
    return (f"slowest {slow:.2f} s, start with a hung drive {took:.1f} s, "
            f"end {end:.1f} s")


def long_beyond(long):
    """More drives away than quorums bear: 503, soon, and all is back."""
    said = []
    for switch, away in ((NO_WRITE, 2), (HANG_ALL, 3)):
        with World([Faulty] * 4, workers=2) as world:
            world.start()
            load = Load(world, threads=3, sizes=SMALL, pause=0.01)
            load.make_bucket()
            load.start()
            time.sleep(1)
            load.stop()
            load.start()
            begin = time.monotonic()
            for d in world.drives[:away]:
                d.set(switch)
            time.sleep(20)
            client = Client(world.port, 30)
            ask = time.monotonic()
            answer = client.ask("PUT", "/load/beyond", body=b"x")
            ask = time.monotonic() - ask
            assert answer and answer.status == 503, answer
            assert b"<Code>" in answer.body, answer
            slow = max((t[1] for t in load.times(begin)), default=0)
            for d in world.drives:
                d.set()
            time.sleep(20)
            load.stop(120)
            load.check()
            assert put_get(world) < 2
            said.append(f"{away} away: 503 in {ask:.2f} s, slowest "
                        f"{slow:.1f} s")
            world.stop()
    return "; ".join(said)
