"""What tests ask of the machine: a port, and which processes there are."""

import os
import pathlib
import socket

PORTS = []      # sockets


def free_port():
    """One that nobody else is given while this process lives: it stays bound,
    and who sets SO_REUSEADDR, as nginx does, may listen there all the same."""
    s = socket.socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind(("127.0.0.1", 0))
    PORTS.append(s)
    return s.getsockname()[1]


def state_of(pid):
    try:
        stat = pathlib.Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    return stat.rpartition(")")[2].split()[:2]


def name_of(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


def file_of(pid, fd):
    try:
        return os.readlink(f"/proc/{pid}/fd/{fd}")
    except OSError:
        return ""


def numbers(path):
    """What a directory of /proc lists: processes, threads or files.  One that
    ends meanwhile lists nothing; pathlib's glob would raise."""
    try:
        return [int(name) for name in os.listdir(path) if name.isdigit()]
    except OSError:
        return []


def alive(pid):
    """A process whose first thread has ended has its files open as long as one
    of the others is there."""
    for task in numbers(f"/proc/{pid}/task"):
        state = state_of(f"{pid}/task/{task}")
        if state is not None and state[0] not in ("Z", "X"):
            return True
    return False


def children(pid):
    found = []
    for child in numbers("/proc"):
        state = state_of(child)
        if state and int(state[1]) == pid and state[0] not in ("Z", "X"):
            found.append(child)
    return found
