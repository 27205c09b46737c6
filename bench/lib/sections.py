"""What is no row of the table: latency, workers, memory, start.

A section is run(bench) -> (result, lines for people, bars).
"""

import os
import re
import statistics
import threading
import time

from . import process
from .bars import Bar
from .operations import BUCKET, KIB, LIST_KEY, MIB, SMALL, Get, Put, fill

LATENCY_LIMIT = 2                   # times a raw write
WORKERS_LIMIT = 1.7                 # times one worker
IDLE_LIMIT = 100e6                  # bytes
PUT_LIMIT = 2 * MIB                 # bytes for each PUT under way
PUTS = 64
QUIET = 3                           # seconds until a store gives memory back
LATENCY_WRITES = 1000               # of a raw window
START_LIMIT = 2                     # seconds
START_WRITES = (0, 1000, 10000)     # since the start before


def mib(value):
    return f'{value / MIB:.1f} MiB'


def latency(bench):
    """PUT of 4 KiB on one connection, and what the drives need for it."""
    operation = Put(4 * KIB, 'unsigned', connections=1)
    ours, raw = [], []
    bench.settle()
    drives = (bench.store.drive_paths()
              or [os.path.join(bench.directory, f'raw{i}') for i in range(4)])
    for number in range(bench.rounds):
        ours.append(operation.ours(bench, f'latency{number}'))
        raw.append(bench.client.raw(4 * KIB, LATENCY_WRITES,
                                    [f'{path}.raw' for path in drives]))
    result = {side: {name: statistics.median(r[name] for r in results)
                     for name in ('p50_us', 'p99_us', 'p999_us')}
              for side, results in (('ours', ours), ('raw', raw))}
    lines = [f'latency, PUT 4 KiB on one connection: p50 {o["p50_us"]:.0f} '
             f'p99 {o["p99_us"]:.0f} p99.9 {o["p999_us"]:.0f} µs; '
             f'raw direct synced writes to {len(drives)} drives at once: '
             f'p50 {r["p50_us"]:.0f} p99 {r["p99_us"]:.0f} '
             f'p99.9 {r["p999_us"]:.0f} µs'
             for o, r in [(result['ours'], result['raw'])]]
    ratio = result['ours']['p50_us'] / result['raw']['p50_us']
    return result, lines, [Bar('latency', 'of a raw write, p50', ratio,
                               LATENCY_LIMIT)]


def busiest(server, before):
    """Share of the CPU time that the busiest worker had."""
    times = [process.schedstat(pid)[0] - before.get(pid, 0)
             for pid in server.worker_pids()]
    return max(times) / max(sum(times), 1)


def pair(bench, operation, stores, clients):
    """Rounds of one operation against two stores, in turn."""
    results = {n: [] for n in stores}
    for number in range(operation.rounds(bench)):
        for n, store in stores.items():
            before = {pid: process.schedstat(pid)[0]
                      for pid in store.worker_pids()}
            with bench.using(store, clients):
                result = operation.ours(bench, f'workers{number}',
                                        connections=64, threads=len(clients))
            result['busiest'] = busiest(store, before)
            results[n].append(result)
    return {n: {name: statistics.median(r[name] for r in results[n])
                for name in ('cpu_us', 'ops_per_s', 'busiest', 'server_busy',
                             'client_busy')}
            for n in stores}


def workers(bench):
    """Two workers and one.

    With four processors or more the client has its own.  Else it has to share
    them with the second worker, and operations a second say little; then the
    CPU time an operation says what two processors would do: twice as many
    operations where it stays the same.
    """
    cpus = sorted(bench.cpus, reverse=True)
    apart = len(cpus) >= 4
    clients = set(cpus[2:]) if apart else set(cpus[:2])
    result = {'client_apart': apart}
    lines, bars = [], []
    with (bench.fresh_store(cpus=cpus[:1]) as one,
          bench.fresh_store(cpus=cpus[:2], workers=2) as two):
        stores = {1: one, 2: two}
        for operation in (Get(10 * KIB), Put(10 * KIB, 'unsigned')):
            for store in stores.values():
                with bench.using(store, clients):
                    operation.prepare(bench)
            r = pair(bench, operation, stores, clients)
            by_time = 2 * r[1]['cpu_us'] / r[2]['cpu_us']
            by_rate = r[2]['ops_per_s'] / r[1]['ops_per_s']
            result[operation.name] = {
                'one': r[1], 'two': r[2], 'by_cpu_time': by_time,
                'by_rate': by_rate}
            lines.append(
                f'two workers, {operation.title}: {r[2]["ops_per_s"]:.0f} op/s'
                f' at {r[2]["cpu_us"]:.1f} µs; one: '
                f'{r[1]["ops_per_s"]:.0f} op/s at {r[1]["cpu_us"]:.1f} µs; '
                f'{by_rate:.2f} times by rate'
                + ('' if apart else ' (the client had the same processors)')
                + f', {by_time:.2f} by CPU time; the busier worker had '
                f'{r[2]["busiest"]:.0%}')
            bars.append(Bar(f'workers {operation.name}',
                            'by rate' if apart else 'by CPU time',
                            by_rate if apart else by_time, WORKERS_LIMIT,
                            least=True))
    return result, lines, bars


class Peak:
    """The greatest memory of a server, sampled while it is entered."""

    def __init__(self, pids):
        self.pids = pids
        self.most = dict.fromkeys(process.MEMORY, 0)
        self.done = threading.Event()

    def sample(self):
        while not self.done.wait(0.02):
            now = process.memory(self.pids)
            if now['Pss'] > self.most['Pss']:
                self.most = now

    def __enter__(self):
        self.thread = threading.Thread(target=self.sample)
        self.thread.start()

    def __exit__(self, *error):
        self.done.set()
        self.thread.join()


def memory_at_rest(bench, store):
    bench.settle()
    time.sleep(QUIET)
    return process.memory(store.pids())


def memory(bench):
    """Idle, with 64 PUTs under way, and what many objects add."""
    with bench.fresh_store() as store:
        idle = process.memory(store.pids())
        watch = Peak(store.pids())
        fill(bench, store, f'/{BUCKET}/memory/@n', 3 * PUTS, 8 * MIB,
             watch=watch)
        each = (watch.most['Pss'] - idle['Pss']) / PUTS
    with bench.fresh_store() as store:
        before = memory_at_rest(bench, store)
        bench.fill_bucket('memory', bench.many)
        after = memory_at_rest(bench, store)
    added = {kind: after[kind] - before[kind] for kind in process.MEMORY}
    result = {'idle': idle, 'peak': watch.most, 'each_put': each,
              'objects': bench.many, 'objects_add': added,
              'zone': store.zone * MIB}
    lines = [
        f'memory, idle: {mib(idle["Pss"])} in all, of it {mib(idle["Rss"])} '
        f'as RSS counts it, {mib(idle["Pss_Anon"])} of the processes, '
        f'{mib(idle["Pss_Shmem"])} shared, {mib(idle["Pss_File"])} of files',
        f'memory, {PUTS} PUTs of 8 MiB at once: {mib(watch.most["Pss"])}, '
        f'{mib(each)} more for each',
        f'memory, {bench.many:,} objects: {mib(added["Pss"])} more, of it '
        f'{mib(added["Pss_Anon"])} of the processes, '
        f'{mib(added["Pss_Shmem"])} of the zone of {store.zone} MiB']
    return result, lines, [
        Bar('memory idle', 'MB', idle['Pss'] / 1e6, IDLE_LIMIT / 1e6),
        Bar('memory 64 puts', 'MiB each', each / MIB, PUT_LIMIT / MIB),
        Bar('memory objects', 'MiB', added['Pss'] / MIB, store.zone)]


def restart(bench, store):
    """kill -9 of all; seconds until an object is read, records replayed."""
    log = os.path.join(store.directory, 'error.log')
    store.kill()
    known = os.path.getsize(log)
    begin = time.monotonic()
    store.start()
    took = time.monotonic() - begin
    cpu = process.usage(store.pids()).cpu
    took += bench.client.window(store, 'GET', f'/start/{LIST_KEY}',
                                length=SMALL, seconds=3600)['elapsed_s']
    with open(log, encoding='utf-8', errors='replace') as f:
        f.seek(known)
        said = [int(n) for n in re.findall(r'replayed (\d+) records', f.read())]
    return {'seconds': took, 'cpu_s': cpu, 'replayed': max(said, default=0)}


def start(bench):
    """After kill -9: with many objects, and by what came since the last table.

    A write is several records on each drive.
    """
    result = {'objects': bench.many, 'after': {}}
    with bench.fresh_store() as store:
        bench.fill_bucket('start', bench.many)
        result['after']['filling'] = restart(bench, store)
        for count in START_WRITES:
            if count:
                bench.client.window(store, 'PUT', f'/start/{LIST_KEY}',
                                    body=SMALL, requests=count, seconds=3600,
                                    connections=64)
            result['after'][f'{count:,} writes'] = restart(bench, store)
    lines = [f'start after kill -9, {bench.many:,} objects, after {what}: '
             f'{r["seconds"]:.2f} s, {r["cpu_s"]:.2f} s of CPU time, '
             f'{r["replayed"]:,} records replayed'
             for what, r in result['after'].items()]
    most = max(r['seconds'] for r in result['after'].values())
    return result, lines, [Bar('start', 's', most, START_LIMIT)]


SECTIONS = {'latency': latency, 'workers': workers, 'memory': memory,
            'start': start}
