"""Drives that are replaced by empty ones while the server runs."""

import os
import pathlib
import re
import shutil
import time

from drives import SMALL, needed
from faults import Directory, Loop, World, sh, until
from load import Load
from start import formatted, states


def tree(path):
    """What must not change."""
    return sorted((str(p.relative_to(path)), p.stat().st_size,
                   p.stat().st_mtime_ns)
                  for p in pathlib.Path(path).rglob("*") if p.is_file()
                  and p.name != "lock")


def in_use(world, i, seconds=120):
    return until("the new drive is in use", seconds,
                 lambda: states(world)[i] == "ok" and world.healed())


def test_directory(long):
    """Under load; the old one is still there, elsewhere, and left alone."""
    with World([Directory] * 4, workers=3) as world:
        world.start()
        load = Load(world, threads=4, sizes=SMALL, pause=0.005)
        load.make_bucket()
        load.start()
        time.sleep(3)
        workers = set(world.workers())
        victim = world.drives[2]
        for _ in range(4 if long else 1):
            begin = time.monotonic()
            victim.off()
            world.says("has gone away")
            world.news()
            time.sleep(1)
            old = tree(victim.hidden)
            victim.path.mkdir()
            until("it is new", 20, lambda: states(world)[2] == "refilling")
            reason = world.status()["drives"][2]["reason"]
            assert re.search(r"filled: \d+ %", reason) or not reason, reason
            took = in_use(world, 2)
            assert tree(victim.hidden) == old, "the old drive has changed"
            assert not load.failed(begin), load.failed(begin)[:5]
            shutil.rmtree(victim.hidden)
        load.stop()
        assert set(world.workers()) == workers
        load.check()
        needed(world, load, victim)
        world.stop()
    return f"in use {took:.1f} s after it was there"


def test_killed(long):
    """kill -9 of workers, then of all, while a new drive is filled."""
    with World([Directory] * 4, workers=2) as world:
        world.start()
        load = Load(world, threads=4, sizes=SMALL, pause=0, retry=False)
        load.make_bucket()
        load.start()
        time.sleep(5 if long else 3)
        victim = world.drives[1]
        for again in range(6 if long else 2):
            victim.off()
            world.says("has gone away")
            victim.path.mkdir()
            for _ in range(4):
                time.sleep(0.3 + 0.2 * again)
                world.kill_workers()
            until("it is new", 30, lambda: formatted(victim.path))
            if again == 1:
                load.stop()
                world.kill_all()
                world.start()
                load.start()
            world.news()
            in_use(world, 1)
            shutil.rmtree(victim.hidden)
        load.stop()
        load.check()
        world.stop()


def test_mount(long):
    """A drive that is merely unmounted is not taken for a new one; a new one
    is, and so is what the operator has marked."""
    with World([lambda w, i: Loop(w, i, "ext4")] * 4,
               more="s3_zone_size 16m;") as world:
        world.start()
        load = Load(world, threads=3, sizes=SMALL, pause=0.005)
        load.make_bucket()
        load.start()
        time.sleep(2)
        victim = world.drives[0]

        begin = time.monotonic()
        victim.umount(lazy=True)
        world.says("has gone away")
        time.sleep(5)
        assert states(world)[0] == "missing"
        assert "empty" in world.status()["drives"][0]["reason"]
        assert not os.listdir(victim.path), os.listdir(victim.path)
        assert world.count("s3-replace") == 1
        victim.mount()
        in_use(world, 0)

        # a file system that is new
        world.news()
        victim.umount(lazy=True)
        world.says("has gone away")
        device = victim.device
        victim.device = None
        victim.image = world.top / "another"
        victim.make()
        victim.mount()
        until("it is new", 20, lambda: states(world)[0] == "refilling")
        in_use(world, 0)
        sh("losetup", "-d", device, check=False)

        # marked
        world.news()
        victim.umount(lazy=True)
        world.says("has gone away")
        time.sleep(2)
        assert not os.listdir(victim.path)
        (victim.path / "s3-replace").touch()
        until("it is new", 20, lambda: states(world)[0] == "refilling")
        assert not (victim.path / "s3-replace").exists()
        in_use(world, 0)
        assert not load.failed(begin), load.failed(begin)[:5]
        load.stop()
        load.check()

        # what else is in a directory is left alone
        world.news()
        other = world.drives[1]
        other.umount(lazy=True)
        world.says("has gone away")
        (other.path / "precious").write_text("x")
        (other.path / "s3-replace").touch()
        world.says("cannot be used again")
        time.sleep(2)
        assert sorted(os.listdir(other.path)) == ["precious", "s3-replace"]
        (other.path / "precious").unlink()
        (other.path / "s3-replace").unlink()
        other.mount()
        until("all is repaired", 60, world.healed)
        load.check()
        world.stop()


def test_older(long):
    """A drive as it was some time ago is put back, while the server runs and
    over a restart: nothing of what was acknowledged since is lost, nothing
    that was deleted is there."""
    with World([Directory] * 2, workers=2) as world:
        world.start()
        load = Load(world, threads=3, sizes=SMALL, pause=0.005)
        load.make_bucket()
        load.start()
        time.sleep(2)
        load.stop()
        world.stop()
        victim = world.drives[1]
        copy, newer = world.top / "copy", world.top / "newer"
        for running in (True, False):
            shutil.copytree(victim.path, copy)
            world.start()
            load.start()
            time.sleep(2)
            load.stop()
            if not running:
                world.stop()
            victim.off()
            if running:
                world.says("has gone away")
            victim.hidden.rename(newer)
            copy.rename(victim.path)
            if not running:
                world.start()
            world.news()
            load.check()
            in_use(world, 1)
            assert world.count("is an older copy of itself") == 2 - running
            load.check()
            world.stop()
            world.drives[0].off()
            world.start()
            load.check(10)
            world.stop()
            world.drives[0].on()
            shutil.rmtree(newer)
