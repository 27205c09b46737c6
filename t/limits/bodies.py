"""Requests that never end: bodies, chunks, headers.  Memory stays flat."""

import os
import re
import socket
import threading
import time

from limits import MIB, Server, head, private, until

GROWTH = 8 * MIB        # of private memory, while a body goes on


def answer(s, seconds=20):
    """All that comes until the connection ends, or a document has."""
    s.settimeout(seconds)
    got = b""
    while b"</Error>" not in got and b"</html>" not in got:
        part = s.recv(65536)
        if not part:
            break
        got += part
    return got


class Sampled:
    """The greatest memory of the workers, from now on."""

    def __init__(self, server):
        self.pids = server.workers()
        self.most = 0
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def now(self):
        return sum(private(p) for p in self.pids)

    def run(self):
        while not self.ended.wait(0.05):
            self.most = max(self.most, self.now())

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.ended.set()
        self.thread.join()


def processor(server):
    ticks = 0
    for pid in server.workers():
        with open(f"/proc/{pid}/stat") as f:
            fields = f.read().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def endless(server, first, piece, warm, total):
    """Sends `first`, then `piece` again and again; how much memory grows
    after `warm` bytes, and the processor's time for a MiB."""
    s = socket.create_connection(("127.0.0.1", server.port), 20)
    try:
        s.sendall(first)
        sent = 0
        while sent < warm:
            s.sendall(piece)
            sent += len(piece)
        time.sleep(0.3)
        with Sampled(server) as memory:
            base, used = memory.now(), processor(server)
            while sent < total:
                s.sendall(piece)
                sent += len(piece)
            grown = max(memory.most, memory.now()) - base
        used = (processor(server) - used) / ((sent - warm) / MIB)
        s.setblocking(False)
        try:
            raise AssertionError(s.recv(65536))
        except BlockingIOError:
            pass
    finally:
        s.close()
    until("the blobs of a body that was given up are gone", 10,
          lambda: not server.temporary())
    return grown, used


def test_endless(long):
    """A chunked body without an end."""
    total = (1024 if long else 240) * MIB
    with Server(drives=1, workers=1) as server:
        server.start()
        assert server.ask("PUT", "/bucket").status == 200
        first = head(server, "PUT", "/bucket/endless", {
            "transfer-encoding": "chunked"}) + b"\r\n"
        piece = b"10000\r\n" + os.urandom(65536) + b"\r\n"
        grown, used = endless(server, first, piece, 40 * MIB, total)
        assert grown < GROWTH, grown
        assert server.ask("HEAD", "/bucket/endless").status == 404
        server.sane()
        server.stop(seconds=20)
        return (f"{total // MIB} MiB: {grown / 1024:.0f} KiB more, "
                f"{used * 1000:.1f} ms for each MiB")


def test_limit(long):
    """What says that it is larger than 5 GiB is refused at once."""
    with Server(drives=1, workers=1) as server:
        server.start()
        assert server.ask("PUT", "/bucket").status == 200
        for extra in ({"content-length": str(5 * 2**30 + 1)},
                      {"content-length": str(6 * 2**30),
                       "x-amz-decoded-content-length": str(5 * 2**30 + 1),
                       "x-amz-content-sha256":
                       "STREAMING-UNSIGNED-PAYLOAD-TRAILER"}):
            s = socket.create_connection(("127.0.0.1", server.port), 20)
            s.sendall(head(server, "PUT", "/bucket/more", extra) + b"\r\n")
            got = answer(s)
            s.close()
            assert b"<Code>EntityTooLarge</Code>" in got, got[:500]
        server.sane()
        server.stop(seconds=20)
        return "EntityTooLarge"


def long_limit(long):
    """A chunked body, which does not say so: at 5 GiB."""
    with Server(drives=1, workers=1) as server:
        server.start()
        assert server.ask("PUT", "/bucket").status == 200
        s = socket.create_connection(("127.0.0.1", server.port), 60)
        s.sendall(head(server, "PUT", "/bucket/more", {
            "transfer-encoding": "chunked"}) + b"\r\n")
        piece = b"100000\r\n" + bytes(MIB) + b"\r\n"
        sent, got = 0, b""
        s.settimeout(60)
        try:
            while sent < 5 * 2**30 + 64 * MIB:
                s.sendall(piece)
                sent += MIB
        except OSError:
            pass
        try:
            got = answer(s)
        except OSError:
            pass
        s.close()
        assert sent >= 5 * 2**30, sent
        assert b"<Code>EntityTooLarge</Code>" in got, got[:500]
        until("its blobs are gone", 30, lambda: not server.temporary())
        server.sane()
        return f"EntityTooLarge after {sent // MIB} MiB"


def test_chunks(long):
    """aws-chunked in the smallest chunks; smaller ones are refused."""
    total = (1024 if long else 100) * MIB
    with Server(drives=4, workers=1) as server:
        server.start()
        assert server.ask("PUT", "/bucket").status == 200
        first = head(server, "PUT", "/bucket/chunks", {
            "content-length": str(5 * 2**30),
            "content-encoding": "aws-chunked",
            "x-amz-decoded-content-length": str(2**30),
            "x-amz-trailer": "x-amz-checksum-crc32",
            "x-amz-content-sha256": "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
        }) + b"\r\n"
        grown, used = endless(server, first, (b"2000\r\n"
                              + bytes(8192) + b"\r\n") * 8,
                              20 * MIB, total)
        assert grown < GROWTH, grown
        assert used < 1, used
        s = socket.create_connection(("127.0.0.1", server.port), 20)
        s.sendall(first + b"1\r\nx\r\n" * 50000)
        got = answer(s)
        s.close()
        assert b"<Code>InvalidChunkSizeError</Code>" in got, got[:300]
        server.sane()
        server.stop(seconds=20)
        return (f"{total // MIB} MiB in chunks of 8 KiB: {grown / 1024:.0f} "
                f"KiB more, {used * 1000:.0f} ms for each MiB")


def test_headers(long):
    """The largest headers that nginx takes, of many requests at once, none of
    which is finished; and larger ones."""
    n = 300
    with Server(workers=1) as server:
        server.start()
        assert server.ask("PUT", "/bucket").status == 200
        text = head(server, "GET", "/bucket/key")
        fat = b"".join(b"x-fat-%d: %s\r\n" % (i, b"y" * 7900) for i in range(3))
        pids = server.workers()
        base = sum(private(p) for p in pids)
        held = []
        for _ in range(n):
            s = socket.create_connection(("127.0.0.1", server.port), 20)
            s.sendall(text + fat)
            held.append(s)
        time.sleep(0.5)
        each = (sum(private(p) for p in pids) - base) / n
        assert each < 48 * 1024, each
        for s in held:
            s.sendall(b"\r\n")
        for s in held:
            got = answer(s)
            assert b"<Code>NoSuchKey</Code>" in got, got[:300]
            s.close()
        s = socket.create_connection(("127.0.0.1", server.port), 20)
        s.sendall(text + fat + fat + b"\r\n")
        got = answer(s)
        s.close()
        assert re.match(rb"HTTP/1.1 400 ", got), got[:300]
        server.sane()
        server.stop(seconds=20)
        return f"{each / 1024:.1f} KiB for each of {n}"
