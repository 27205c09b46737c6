"""A start without drives: requests get 503 until they are there, no new store
is made beside the one that is away, nothing waits for a drive that hangs.
"""

import concurrent.futures
import os
import pathlib
import re
import subprocess
import time

from drives import SMALL, put_get
from faults import Directory, Faulty, HANG_ALL, Loop, World, until
from load import Client, Load


def states(world):
    return [d["state"] for d in world.status()["drives"]]


def ask(world, method, key="probe", body=None):
    """Status, code, seconds."""
    client = Client(world.port, 30, retry=False)
    begin = time.monotonic()
    answer = client.ask(method, f"/load/{key}", body=body)
    took = time.monotonic() - begin
    client.close()
    assert answer is not None, "no answer"
    return answer.status, answer.body, took


def refused(world, method, body=None):
    status, text, took = ask(world, method, body=body)
    assert status == 503, (status, text)
    assert method == "HEAD" or b"<Code>S" in text, text
    assert took < 1, took
    return took


def filled(world):
    load = Load(world, threads=3, sizes=SMALL, pause=0.005)
    load.make_bucket()
    assert ask(world, "PUT", body=b"probe")[0] == 200
    load.start()
    time.sleep(2)
    load.stop()
    return load


def formatted(path):
    return (pathlib.Path(path) / "format.json").exists()


def test_too_few(long):
    """n = 4, m = 2: reads with two drives, writes with three."""
    said = []
    with World([Directory] * 4) as world:
        world.start()
        load = filled(world)
        world.stop()
        for away in (4, 3):
            gone = world.drives[:away]
            for d in gone:
                d.off()
            r = subprocess.run(world.command() + ["-t"],
                               stderr=subprocess.PIPE)
            assert r.returncode == 0, r.stderr
            took = world.start()
            assert took < 5, took
            assert states(world)[:away] == ["missing"] * away, states(world)
            assert all(d["reason"] for d in world.status()["drives"][:away])
            slow = max(refused(world, "GET"), refused(world, "HEAD"),
                       refused(world, "PUT", b"x"), refused(world, "DELETE"))
            time.sleep(2)
            assert not any(d.path.exists() for d in gone)
            left = away
            while left > 2:
                left -= 1
                gone[left].on()
            reads = until("reads", 10, lambda: ask(world, "GET")[0] == 200)
            assert ask(world, "PUT", body=b"probe")[0] == 503
            load.check(5)
            gone[1].on()
            writes = until("writes", 10, lambda: ask(
                world, "PUT", body=b"probe")[0] == 200)
            gone[0].on()
            until("all is repaired", 60, world.healed)
            assert put_get(world) < 2
            load.check(5)
            said.append(f"{away} of 4 away: 503 in {slow * 1000:.0f} ms, back "
                        f"in {reads:.1f} and {writes:.1f} s")
            world.stop()
        world.start()
        load.check(5)
        world.stop()
    return "; ".join(said)


def test_config(long):
    """nginx -t refuses the drives that a start would refuse, whether a server
    is at work on them or not."""
    with World([Directory] * 4, workers=1) as world:
        world.start()
        paths = [str(d.path) for d in world.drives]
        conf = world.top / "nginx.conf"
        text = conf.read_text()
        (world.top / "more").mkdir()
        full = world.top / "full"
        full.mkdir()
        (full / "file").touch()

        def look(*drives):
            conf.write_text(text.replace(
                " ".join(f'"{p}"' for p in paths),
                " ".join(f'"{p}"' for p in drives)))
            r = subprocess.run(world.command() + ["-t"],
                               stdout=subprocess.PIPE,
                               stderr=subprocess.STDOUT, timeout=20)
            conf.write_text(text)
            return r.returncode, r.stdout.decode()

        for running in True, False:
            if not running:
                world.stop()
            one, two, *others = paths
            assert look(*paths)[0] == 0
            for drives, why in (
                    ((two, one, *others), "wrong order"),
                    (paths[:3], "store of 4 drives, 3 are named"),
                    ((*paths, world.top / "more"), "5 are named"),
                    ((*paths[:3], full), "is not empty")):
                code, said = look(*drives)
                assert code == 1 and why in said, (why, code, said)
        assert not list((world.top / "more").iterdir())
    return "order, number and strangers are told"


def test_no_fork(long):
    """Empty directories in the place of drives that are away stay empty."""
    with World([Directory] * 4) as world:
        world.start()
        load = filled(world)
        world.stop()
        for d in world.drives:
            d.off()
        world.drives[3].path.mkdir()
        world.start()
        refused(world, "GET")
        time.sleep(2)
        assert not formatted(world.drives[3].path)
        # one drive with data: the empty one may not be taken, too little of
        # the store is there to fill it
        world.drives[0].on()
        until("one is there", 10, lambda: states(world)[0] == "ok")
        time.sleep(3)
        assert not formatted(world.drives[3].path)
        assert states(world)[3] == "missing", states(world)
        # enough of them: it can be filled
        world.drives[1].on()
        until("it is new", 15, lambda: formatted(world.drives[3].path))
        world.drives[2].on()
        until("all is repaired", 60, world.healed)
        load.check(5)
        world.stop()
        world.start()
        load.check(5)
        world.stop()


def test_not_mounted(long):
    """Places where drives are to be mounted."""
    with World([lambda w, i: Loop(w, i, "xfs")] * 4,
               more="s3_zone_size 16m;") as world:
        world.start()
        load = filled(world)
        world.stop()
        # one is mounted, three are not; then none is, and fstab says so
        for left in (1, 0):
            for d in world.drives[left:]:
                d.off()
            if not left:
                table = world.top / "fstab"
                table.write_text("".join(
                    f"/dev/none {d.path} xfs noauto 0 0\n"
                    for d in world.drives))
                world.under = ["unshare", "-m", "sh", "-c",
                               f'mount --bind "{table}" /etc/fstab && '
                               'exec "$@"', "sh"]
            world.start()
            refused(world, "GET")
            refused(world, "PUT", b"x")
            time.sleep(2)
            assert not any(formatted(d.path) for d in world.drives[left:])
            assert states(world)[left:] == ["missing"] * (4 - left)
            if left:
                for d in world.drives[left:]:
                    d.on()
                until("all is repaired", 60, world.healed)
                load.check(5)
            world.stop()
        world.under = []
        for d in world.drives:
            assert not os.listdir(d.path), os.listdir(d.path)
            d.on()
        world.start()
        load.check(5)
        world.stop()


def test_time(long):
    """A start follows what came since the last table, not what is stored
    (with a million objects: bench/run --only start --million)."""
    count = 20000 if long else 2000
    with World([Directory] * 4, workers=1) as world:
        world.start()
        Load(world).make_bucket()
        # the first look at the log makes a table of it, whenever that is; the
        # next one is a long time off
        until("the first tables", 30, lambda: all(
            list((d.path / "index").glob("*.tab")) for d in world.drives))

        def fill(number):
            client = Client(world.port, 30)
            for i in range(number * count // 4, (number + 1) * count // 4):
                answer = client.ask("PUT", f"/load/{i}", body=b"sixteen bytes..")
                assert answer and answer.status == 200, answer
            client.close()

        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            list(pool.map(fill, range(4)))
        took, replayed = [], []
        for _ in range(2):
            world.kill_all()
            world.news()
            begin = time.monotonic()
            world.start()
            until("an object is read", 10,
                  lambda: ask(world, "GET", count - 1)[0] == 200)
            took.append(time.monotonic() - begin)
            replayed.append(sum(int(n) for n in re.findall(
                r"replayed (\d+) records", world.news())))
        world.stop()
    assert max(took) < 5, took
    assert replayed[0] > count, replayed
    assert replayed[1] < replayed[0], replayed
    return (f"{count} objects: {took[0]:.2f} s with {replayed[0]} records, then "
            f"{took[1]:.2f} s with {replayed[1]}")


def test_hung(long):
    """One hangs, then all do: nobody waits for them."""
    with World([Faulty] * 4, workers=2) as world:
        world.start()
        load = filled(world)
        world.stop()
        said = []
        for hung, limit in ((1, 5), (4, 14)):
            for d in world.drives[:hung]:
                d.set(HANG_ALL)
            begin = time.monotonic()
            r = subprocess.run(world.command() + ["-t"],
                               stderr=subprocess.PIPE)
            tested = time.monotonic() - begin
            assert r.returncode == 0 and tested < limit, (r, tested)
            took = world.start()
            assert took < limit, took
            assert states(world)[:hung] == ["hung"] * hung, states(world)
            if hung == 1:
                assert put_get(world, "while") < 2
            else:
                refused(world, "GET")
                refused(world, "PUT", b"x")
            time.sleep(5)
            assert states(world)[:hung] == ["hung"] * hung, states(world)
            for d in world.drives[:hung]:
                d.set()
            back = until("all is repaired", 60, world.healed)
            load.check(5)
            world.stop()
            said.append(f"{hung} hung: start {took:.1f} s, -t {tested:.1f} s, "
                        f"healed {back:.1f} s after they answer")
    return "; ".join(said)
