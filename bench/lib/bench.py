"""A run: the servers, the client, rounds of windows, medians."""

import contextlib
import itertools
import os
import statistics
import time

from . import operations, process, servers, syscalls, system
from .client import Client
from .profile import Profile

AVERAGED = ('cpu_us', 'cpu_ticks_us', 'ops_per_s', 'p50_us', 'p99_us',
            'p999_us', 'server_busy', 'server_waits', 'client_busy')

REST = 6                            # seconds; ours tidies up after 5 of them
SETTLE_LIMIT = 300                  # more; a store may never be quiet


def medians(results):
    """One result of many windows."""
    out = {name: statistics.median(r[name] for r in results)
           for name in AVERAGED}
    out['ops'] = sum(r['ops'] for r in results)
    out['written_per_op'] = (sum(r['written'] for r in results)
                             / max(out['ops'], 1))
    out['client_limits'] = (out['client_busy'] > 0.9
                            or out['client_busy'] > out['server_busy'])
    out['cpu_us_rounds'] = [round(r['cpu_us'], 3) for r in results]
    return out


def ratio(ours, others):
    """How many times the CPU time of others, windows in turn."""
    return statistics.median(a['cpu_us'] / b['cpu_us']
                             for a, b in zip(ours, others) if b['cpu_us'])


class Bench:
    def __init__(self, directory, options, module):
        self.directory = directory
        self.seconds = options.seconds
        self.rounds = options.rounds
        self.connections = options.connections
        self.module = module
        self.many = options.many
        self.objects = options.objects
        self.cpus = sorted(os.sched_getaffinity(0))
        self.server_cpu, self.client_cpu = self.cpus[-1], self.cpus[0]
        self.client = Client(system.build_load(directory), {self.client_cpu})
        self.profiles = None
        self.counter = syscalls.counter()
        self.filled = {}
        self.numbers = itertools.count()
        self.store = None
        self.reference = None
        system.spread(directory)
        os.sched_setaffinity(0, {self.client_cpu})
        if options.nice:
            os.nice(options.nice)

    def options(self, operation, options):
        """What all windows have in common, unless it is given."""
        return {'seconds': self.seconds,
                'connections': operation.connections or self.connections,
                **options}

    def subdirectory(self, name):
        path = os.path.join(self.directory, name)
        os.mkdir(path)
        return path

    def unique(self):
        return next(self.numbers)

    def start_store(self, cpus=None, **options):
        directory = self.subdirectory(f'store{self.unique()}')
        return servers.Store(directory, cpus or [self.server_cpu],
                             self.module, **options).start()

    @contextlib.contextmanager
    def using(self, store, clients=None):
        """Another store, and other processors of the client, for a while."""
        before = self.store, self.client.cpus, self.filled
        self.store, self.filled = store, {}
        self.client.cpus = clients or self.client.cpus
        self.client.alone = self.server_cpu not in self.client.cpus
        try:
            yield
        finally:
            self.store, self.client.cpus, self.filled = before
            self.client.alone = self.server_cpu not in self.client.cpus

    @contextlib.contextmanager
    def fresh_store(self, **options):
        """A store with an empty bucket, gone afterwards."""
        store = self.start_store(**options)
        try:
            with self.using(store):
                self.make_bucket(operations.BUCKET)
                yield store
        finally:
            store.stop()
            system.remove(store.directory)

    def start(self, endpoint=None):
        self.reference = servers.Reference(self.subdirectory('reference'),
                                           [self.server_cpu]).start()
        self.store = endpoint or self.start_store()
        self.make_bucket(operations.BUCKET)

    def stop(self):
        for server in (self.store, self.reference):
            if server is not None:
                server.stop()

    def clean_endpoint(self):
        """Deletes what was put; objects first, then their buckets."""
        for path, first, count in reversed(self.store.made):
            self.client.window(
                self.store, 'DELETE', path, first=first, requests=count,
                seconds=3600, status=204, connections=min(64, count))

    def make_bucket(self, name):
        self.client.window(self.store, 'PUT', f'/{name}', seconds=3600)

    def fill_bucket(self, name, count):
        """A bucket with `count` small objects; once."""
        done = self.filled.get(name)
        if done is None:
            self.make_bucket(name)
            done = 0
        while done < count:
            part = min(count - done, 100000)
            self.client.window(
                self.store, 'PUT', f'/{name}/{operations.LIST_KEY}',
                body=operations.SMALL,
                first=done, requests=part, seconds=3600,
                connections=256)
            done += part
        self.filled[name] = done

    def settle(self):
        """Waits until the store has done what preparing has left it to do."""
        time.sleep(REST)
        end = time.monotonic() + SETTLE_LIMIT
        while self.store.pids() and time.monotonic() < end:
            before = process.usage(self.store.pids())
            time.sleep(1)           # who syncs uses no CPU for a while
            used = process.usage(self.store.pids()) - before
            if used.cpu < 0.03:
                break

    def run(self, operation):
        """A row; large objects go with the store that they were put into."""
        if operation.fresh and self.module:
            with self.fresh_store():
                return self.row(operation)
        return self.row(operation)

    def row(self, operation):
        """Rounds of one operation, the store and what it is compared with in
        turn."""
        beside = operation.beside
        if beside:
            beside.prepare(self)
        operation.prepare(self)
        self.settle()
        ours, reference, others = [], [], []
        for number in range(operation.rounds(self)):
            ours.append(operation.ours(self, number))
            if beside:
                others.append(beside.ours(self, number))
            result = operation.reference(self, number)
            if result:
                reference.append(result)
        row = {'name': operation.name, 'title': operation.title,
               'keys': operation.keys, 'stored': operation.stored,
               'ours': medians(ours)}
        if beside and row['ours']['cpu_us']:
            row['beside'] = {'name': beside.name, 'ratio': ratio(ours, others)}
        if reference:
            row['reference'] = medians(reference)
            row['ratio'] = ratio(ours, reference)
        self.count_syscalls(operation, row)
        self.profile(operation)
        return row

    def profile(self, operation):
        if self.profiles is None:
            return
        watch = Profile(self.profiles, operation.name, self.store.pids())
        operation.ours(self, operation.rounds(self) + 1, watch=watch)

    def count_syscalls(self, operation, row):
        if self.counter is None:
            return
        for key, measure, server in (
                ('ours', operation.ours, self.store),
                ('reference', operation.reference, self.reference)):
            if key not in row or not server.pids():
                continue
            watch = self.counter(server.pids())
            result = measure(self, operation.rounds(self), watch=watch)
            row[key]['syscalls'] = watch.calls / max(result['ops'], 1)
