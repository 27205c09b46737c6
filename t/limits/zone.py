"""The least shared memory: memtables are tiny, flushed all the time, and
nothing is lost.  Less than that is refused by `nginx -t`."""

import hashlib
import re
import subprocess
import threading
import time
import urllib.parse
import xml.etree.ElementTree as ET

from limits import Client, Server


def check(server, size):
    conf = server.top / "nginx.conf"
    text = re.sub(r"s3_zone_size \S+;", f"s3_zone_size {size};",
                  conf.read_text())
    conf.write_text(text)
    r = subprocess.run([*server.command(), "-t"], stdout=subprocess.PIPE,
                       stderr=subprocess.STDOUT)
    return r.returncode, r.stdout.decode()


def content(key):
    return hashlib.sha256(key.encode()).digest()


class Writer(threading.Thread):
    def __init__(self, port, number, count):
        super().__init__(daemon=True)
        self.client = Client(port, 30)
        self.number, self.count = number, count
        self.keys, self.wrong, self.later = [], [], 0

    def run(self):
        for i in range(self.count):
            key = f"{self.number}/{i}/{'k' * 400}"
            for _ in range(100):
                a = self.client.ask("PUT", f"/bucket/{key}",
                                    body=content(key))
                if a and a.status == 200:
                    self.keys.append(key)
                    break
                if a is None or a.status != 503:
                    self.wrong.append(a)
                    return
                self.later += 1
                time.sleep(0.05)
            else:
                self.wrong.append(f"{key}: 503 for ever")
                return


def listed(server):
    found, more = [], ""
    while True:
        a = server.ask("GET", "/bucket", (more and
                       f"continuation-token={more}&") + "list-type=2")
        assert a and a.status == 200, a
        root = ET.fromstring(a.body)
        found += [e.text for e in root.iterfind(".//{*}Contents/{*}Key")]
        token = root.find("{*}NextContinuationToken")
        if token is None:
            return found
        more = urllib.parse.quote(token.text, safe="")


def look(server, keys, step):
    assert listed(server) == sorted(keys)
    for key in keys[::step]:
        a = server.ask("GET", f"/bucket/{key}")
        assert a and a.status == 200 and a.body == content(key), (key, a)


def test_least(long):
    with Server(workers=2, more="s3_zone_size 64k;") as server:
        status, said = check(server, "64k")
        found = re.search(r"s3: zone is too small for 4 drives: at least "
                          r"(\d+)k", said)
        assert status and found, said
        least = int(found[1])
        status, said = check(server, f"{least - 4}k")
        assert status and "zone is too small" in said, said
        status, said = check(server, f"{least}k")
        assert status == 0, said

        (server.top / "error.log").unlink()
        server.start()
        assert server.ask("PUT", "/bucket").status == 200
        writers = [Writer(server.port, i, 5000 if long else 400)
                   for i in range(4)]
        for w in writers:
            w.start()
        for w in writers:
            w.join(300)
            assert not w.is_alive() and not w.wrong, w.wrong[:2]
        keys = [k for w in writers for k in w.keys]
        later = sum(w.later for w in writers)
        tables = len(list((server.drives[0].path / "index").glob("*")))
        assert tables > 0
        look(server, keys, 10)
        server.stop(seconds=20)
        server.client.close()
        server.start()
        look(server, keys, 10)
        server.sane()
        server.stop(seconds=20)
        return (f"{least} KiB for 4 drives: {len(keys)} keys of 400 bytes, "
                f"{later} times 503, {tables} files of tables on a drive")
