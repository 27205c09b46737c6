"""What the kernel knows of a tree of processes: time, memory, I/O."""

import os
from dataclasses import dataclass, fields

TICK = os.sysconf('SC_CLK_TCK')


def children():
    """Parent -> its children, for all processes."""
    tree = {}
    for name in os.listdir('/proc'):
        if name.isdigit():
            try:
                with open(f'/proc/{name}/stat', 'rb') as f:
                    parent = int(f.read().rpartition(b')')[2].split()[1])
            except (OSError, ValueError):
                continue
            tree.setdefault(parent, []).append(int(name))
    return tree


def tree_of(pid):
    """A process and all that descend from it."""
    known = children()
    found, queue = [], [pid]
    while queue:
        pid = queue.pop()
        if os.path.exists(f'/proc/{pid}'):
            found.append(pid)
        queue += known.get(pid, [])
    return found


def schedstat(pid):
    """Nanoseconds on a processor and waiting for it, of all threads."""
    on, waiting = 0, 0
    for task in os.listdir(f'/proc/{pid}/task'):
        try:
            with open(f'/proc/{pid}/task/{task}/schedstat') as f:
                values = f.read().split()
        except OSError:
            continue                # the thread has ended
        on += int(values[0])
        waiting += int(values[1])
    return on, waiting


def ticks(pid):
    """utime + stime in seconds: coarse, but with threads that ended."""
    with open(f'/proc/{pid}/stat', 'rb') as f:
        stat = f.read().rpartition(b')')[2].split()
    return (int(stat[11]) + int(stat[12])) / TICK


def written(pid):
    """Bytes that the process caused to be written to a file system."""
    try:
        with open(f'/proc/{pid}/io') as f:
            io = dict(line.split(': ') for line in f.read().splitlines())
    except OSError:
        return 0
    return int(io['write_bytes']) - int(io['cancelled_write_bytes'])


@dataclass
class Usage:
    """Sums over processes; the difference of two is what a window took."""
    cpu: float = 0.0                # seconds, of schedstat
    waiting: float = 0.0            # seconds, ready to run
    ticks: float = 0.0              # seconds, of utime + stime
    written: int = 0

    def __sub__(self, other):
        return Usage(*(getattr(self, f.name) - getattr(other, f.name)
                       for f in fields(self)))


def usage(pids):
    total = Usage()
    for pid in pids:
        try:
            on, waiting = schedstat(pid)
            total.cpu += on / 1e9
            total.waiting += waiting / 1e9
            total.ticks += ticks(pid)
            total.written += written(pid)
        except OSError:
            pass                    # the process has ended
    return total


MEMORY = ('Rss', 'Pss', 'Pss_Anon', 'Pss_File', 'Pss_Shmem')


def memory(pids):
    """Bytes of memory by kind; Pss counts what is shared once."""
    total = dict.fromkeys(MEMORY, 0)
    for pid in pids:
        try:
            with open(f'/proc/{pid}/smaps_rollup') as f:
                for line in f:
                    kind, _, rest = line.partition(':')
                    if kind in total:
                        total[kind] += int(rest.split()[0]) * 1024
        except OSError:
            pass
    return total
