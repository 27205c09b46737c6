"""Power cuts: the file systems are shut down under load, all processes killed.

Nothing that was not synced reaches the disk after the shutdown.  What was
acknowledged has to be there when the file systems are mounted again.
"""

import random
import time

from faults import Loop, World
from load import Load


def cut(kinds, rounds, seed, seconds=(0.3, 2.0)):
    choose = random.Random(seed)
    drives = [lambda w, i, k=k: Loop(w, i, k) for k in kinds]
    looked = 0
    with World(drives, more="s3_zone_size 16m;") as world:
        world.start()
        load = Load(world, seed=seed)
        load.make_bucket()
        for _ in range(rounds):
            load.start()
            time.sleep(choose.uniform(*seconds))
            order = list(world.drives)
            choose.shuffle(order)
            for drive in order:
                drive.shutdown()
                if choose.random() < 0.3:
                    time.sleep(choose.uniform(0, 0.05))
            world.kill_all()
            load.stop()
            for drive in world.drives:
                drive.umount()
            for drive in world.drives:
                drive.mount()
            took = world.start()
            looked += load.check()
            assert took < 10, f"the start took {took:.1f} s"
        assert looked
    return f"{rounds} power cuts, {looked} keys looked at"


def test_mixed(long):
    return cut(["ext4", "xfs", "ext4", "xfs"], 20 if long else 3, 1)


def long_xfs(long):
    return cut(["xfs"] * 4, 20 if long else 1, 2)


def long_ext4_single(long):
    return cut(["ext4"], 10 if long else 1, 3)
