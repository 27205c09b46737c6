"""What the tests of this directory share: a server, and what it takes."""

import os
import pathlib
import re
import resource
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "faults"))

import faults               # noqa: E402,F401
from faults import Directory, World, until     # noqa: E402,F401
from load import Client, signed        # noqa: E402

MIB = 2**20
CONNECTIONS = 16384


class Server(World):
    """A World of plain directories, for many connections."""

    def __init__(self, drives=4, workers=2, more="", env=None, **rest):
        super().__init__([Directory] * drives, workers=workers, more=more,
                         **rest)
        self.env = env or {}
        self.client = Client(self.port, 20, retry=False)
        conf = self.top / "nginx.conf"
        text = conf.read_text()
        many = text.replace(
            "worker_connections 1024;", f"worker_connections {CONNECTIONS};")
        assert many != text
        conf.write_text(f"worker_rlimit_nofile {CONNECTIONS + 3000};\n" + many)

    def start(self, seconds=30):
        for name, value in self.env.items():
            os.environ[name] = value
        try:
            return super().start(seconds)
        finally:
            for name in self.env:
                del os.environ[name]

    def ask(self, *args, **kwargs):
        return self.client.ask(*args, **kwargs)

    def memory(self):
        """Bytes of all processes: what is theirs alone, and shared memory
        once (it is in the master as far as anybody has touched it)."""
        return sum(private(p) for p in [self.pid(), *self.workers()])

    def temporary(self):
        """Files that are being written."""
        return [p for d in self.drives for p in (d.path / "tmp").iterdir()]

    def sane(self):
        """The disk behind all drives may be too busy for 3 s."""
        log = self.log()
        bad = [line for line in re.findall(
            r".*exited on signal.*|.*\[(?:alert|emerg)\].*", log)
            if " (12: Cannot allocate memory)" not in line
            and " takes longer than 3000 ms" not in line]
        assert not bad, bad[:5]


def head(server, method, path, headers=None):
    """A request up to its headers, signed; the empty line is not there yet."""
    lines = signed(method, f"127.0.0.1:{server.port}", path, "", headers or {})
    return (f"{method} {path} HTTP/1.1\r\n" + "".join(
        f"{k}: {v}\r\n" for k, v in lines.items())).encode()


def private(pid):
    total = 0
    try:
        with open(f"/proc/{pid}/smaps_rollup") as f:
            for line in f:
                if line.startswith(("Private_", "Swap:")):
                    total += int(line.split()[1]) * 1024
    except OSError:
        pass
    return total


def many_files():
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard
