"""Drives that run full: 507, deletions go on, space comes back."""

import time

from faults import Loop, World, until
from load import Client, Load, content


def fill(client):
    """Puts objects of 1 MiB until the answer is another one; how many."""
    for i in range(2000):
        answer = client.ask("PUT", f"/load/fill/{i}", body=content(i, 1 << 20))
        assert answer is not None, "no answer"
        if answer.status != 200:
            return i, answer
    raise AssertionError("it does not get full")


def full(kind, size, rounds):
    with World([lambda w, i: Loop(w, i, kind, size)] * 4, workers=2,
               more="s3_zone_size 16m; s3_log_segment 1m;") as world:
        world.start()
        Load(world).make_bucket()
        client = Client(world.port, 60)
        said = []
        for _ in range(rounds):
            n, answer = fill(client)
            assert answer.status == 507, answer
            assert b"<Code>" in answer.body, answer
            # reads go on, small ones and large ones are refused
            for i in (0, n // 2, n - 1):
                answer = client.ask("GET", f"/load/fill/{i}")
                assert answer and answer.status == 200, answer
                assert answer.body == content(i, 1 << 20)
            answer = client.ask("PUT", "/load/small", body=b"x" * 1000)
            assert answer and answer.status in (200, 507), answer
            begin = time.monotonic()
            for i in range(n):
                answer = client.ask("DELETE", f"/load/fill/{i}")
                assert answer and answer.status == 204, (i, answer)
            deleted = time.monotonic() - begin

            def again():
                answer = client.ask("PUT", "/load/again",
                                    body=content(1, 1 << 20))
                assert answer and answer.status in (200, 507), answer
                return answer.status == 200

            took = until("space is back", 90, again, 0.5)
            said.append(f"{n} MiB, deleted in {deleted:.1f} s, writable "
                        f"{took:.1f} s later")
        world.stop()
    return "; ".join(said)


def test_ext4(long):
    return full("ext4", "128M", 4 if long else 1)


def long_xfs(long):
    return full("xfs", "320M", 2)
