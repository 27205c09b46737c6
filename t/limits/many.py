"""Ten thousand idle connections, a thousand slow uploads and a thousand slow
downloads at once: memory is bounded, others are served, and when the slow ones
stand still nginx's timeouts end them and nothing is left.
"""

import concurrent.futures
import os
import socket
import time

from limits import MIB, Client, Server, head, many_files, until

IDLE, UPLOADS, DOWNLOADS = 10000, 1000, 1000
BEGUN = 50              # of the uploads: so many have sent stripes already
SIZE = 8 * MIB
TIMEOUT = 20            # s, client_body_timeout and send_timeout: longer than all
                        # that comes before they stand still

# bytes of private memory for each, at most: docs/operations.md
PER_IDLE = 2 * 1024
PER_REQUEST = 3 * 4 * 128 * 1024 + 160 * 1024


def connect(server, window=None):
    s = socket.socket()
    if window:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, window)
    s.connect(("127.0.0.1", server.port))
    return s


def latencies(port, seconds):
    """Small PUTs and GETs, one after the other, in a process of their own."""
    client, took, n = Client(port, 30), [], 0
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        n += 1
        for method, body in (("PUT", b"x" * 1000), ("GET", None)):
            begin = time.monotonic()
            a = client.ask(method, f"/bucket/quick/{n % 50}", body=body)
            took.append(time.monotonic() - begin)
            assert a and a.status == 200, a
        time.sleep(0.01)
    took.sort()
    return took[len(took) // 2], took[len(took) * 99 // 100], len(took)


def sockets(server):
    n = 0
    for pid in server.workers():
        for fd in os.scandir(f"/proc/{pid}/fd"):
            try:
                n += os.readlink(fd.path).startswith("socket:")
            except OSError:
                pass
    return n


def test_many(long):
    many_files()
    more = (f"client_body_timeout {TIMEOUT}s; send_timeout {TIMEOUT}s; "
            "keepalive_timeout 300s; client_header_timeout 300s;")
    held = []
    pool = concurrent.futures.ProcessPoolExecutor(1)
    with Server(workers=2, more=more, level="warn") as server, pool:
        try:
            server.start()
            return many(server, pool, held)
        finally:
            for s in held:
                s.close()


def many(server, pool, held):
    assert server.ask("PUT", "/bucket").status == 200
    assert server.ask("PUT", "/bucket/large",
                      body=os.urandom(SIZE)).status == 200
    alone = pool.submit(latencies, server.port, 2).result()
    base, fds = server.memory(), sockets(server)

    # half have never said a word, half have had an answer
    idle = [connect(server) for _ in range(IDLE)]
    held += idle
    for s in idle[::2]:
        s.sendall(b"HEAD / HTTP/1.1\r\nHost: x\r\n\r\n")
    for s in idle[::2]:
        assert s.recv(4096).startswith(b"HTTP/1.1 403")
    per_idle = (server.memory() - base) / IDLE
    assert per_idle < PER_IDLE, per_idle
    with_idle = server.memory()

    up = [connect(server) for _ in range(UPLOADS)]
    held += up
    for i, s in enumerate(up):
        s.sendall(head(server, "PUT", f"/bucket/slow/{i}",
                       {"content-length": str(SIZE)})
                  + b"\r\n" + b"x" * 10)
    for s in up[:BEGUN]:
        s.sendall(bytes(1300 * 1024))
    down = [connect(server, 4096) for _ in range(DOWNLOADS)]
    held += down
    for s in down:
        s.sendall(head(server, "GET", "/bucket/large") + b"\r\n")

    most = 0

    def feed():
        nonlocal most
        for s in up:
            s.send(b"abc")
        for s in down:
            assert s.recv(4)
        most = max(most, server.memory())

    def served():
        feed()
        begin = time.monotonic()
        a = server.ask("PUT", "/bucket/quick/first", body=b"x" * 1000)
        assert a and a.status == 200, a
        return time.monotonic() - begin < 0.2

    # what they have sent at once is on the drives: others wait for the disk
    until("others are served", 10, served, 0.3)

    during = pool.submit(latencies, server.port, 6)
    ended = time.monotonic() + 6
    while time.monotonic() < ended:
        feed()
        time.sleep(0.7)
    during = during.result()
    now = sockets(server) - fds
    # one that was ending may have been counted before
    assert now >= IDLE + UPLOADS + DOWNLOADS - 4, (fds, now)
    per_slow = (most - with_idle) / (UPLOADS + DOWNLOADS)
    assert per_slow < PER_REQUEST, per_slow
    assert during[1] < 1, during

    # now they stand still
    began = time.monotonic()
    until("the slow ones are ended", TIMEOUT + 20,
          lambda: sockets(server) <= fds + IDLE + 4)
    gone = time.monotonic() - began
    until("their temporary files are gone", 10,
          lambda: not server.temporary())
    after = 0

    def small():
        nonlocal after
        after = server.memory()
        return after < with_idle + (most - with_idle) / 4 + 32 * MIB
    until("memory is given back", 15, small, 0.5)
    for s in held:
        s.close()
    held.clear()
    server.client.close()
    server.stop(seconds=20)
    server.sane()
    return (f"{per_idle:.0f} B for each of {IDLE} idle connections, "
            f"{per_slow / 1024:.0f} KiB for each of {UPLOADS} uploads and "
            f"{DOWNLOADS} downloads; median and 99 % of others "
            f"{during[0] * 1000:.1f}, {during[1] * 1000:.0f} ms (alone "
            f"{alone[0] * 1000:.1f}, {alone[1] * 1000:.0f}); ended {gone:.1f} "
            f"s after they stood still; private memory {base / MIB:.0f} MiB, "
            f"then {most / MIB:.0f}, then {after / MIB:.0f}")
