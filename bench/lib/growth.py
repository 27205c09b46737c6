"""CPU time an operation, against objects, connections and drives."""

from . import operations
from .operations import KIB, MIB, Get, Head, List, Put

DRIVES = ((1, 0), (2, 1), (4, 2), (8, 2), (16, 2))          # and parity
CONNECTIONS = (1, 4, 16, 64, 256, 1000)
SAMPLE = 20000                      # keys drawn from all


class RandomGet(operations.Operation):
    """GET or HEAD of objects drawn from all of a bucket."""

    def __init__(self, method, bucket, count):
        self.method = method
        self.bucket = bucket
        self.count = count

    def ours(self, bench, number, **options):
        path = f'/{self.bucket}/{operations.LIST_KEY}'
        return bench.client.window(
            bench.store, self.method, path, requests=SAMPLE, cycle=True,
            random=self.count, length=operations.SMALL,
            **bench.options(self, options))


def point(bench, operation, **options):
    """The median CPU time of a few windows."""
    bench.settle()
    results = [operation.ours(bench, f'growth{bench.unique()}', **options)
               for _ in range(bench.rounds)]
    results.sort(key=lambda r: r['cpu_us'])
    middle = results[len(results) // 2]
    return {name: round(middle[name], 3) for name in
            ('cpu_us', 'ops_per_s', 'p50_us', 'p99_us')}


def objects(bench):
    """One store that grows tenfold, step by step."""
    series = {}
    count = 10000
    with bench.fresh_store():
        while count <= bench.objects:
            bench.fill_bucket('grow', count)
            for name, operation in (
                    ('GET', RandomGet('GET', 'grow', count)),
                    ('HEAD', RandomGet('HEAD', 'grow', count)),
                    ('PUT', Put(operations.SMALL, 'unsigned')),
                    ('LIST', List('grow', count)),
                    ('LIST prefixes', List('grow', count, delimiter=True))):
                series.setdefault(name, []).append(
                    {'x': count, **point(bench, operation)})
            count *= 10
    return series


def connections(bench):
    series = {}
    with bench.fresh_store():
        for name, operation in (('GET 10 KiB', Get(10 * KIB)),
                                ('HEAD', Head()),
                                ('PUT 4 KiB', Put(4 * KIB, 'unsigned'))):
            operation.prepare(bench)
            for n in CONNECTIONS:
                series.setdefault(name, []).append(
                    {'x': n, **point(bench, operation, connections=n)})
    return series


def drives(bench):
    series = {}
    for n, parity in DRIVES:
        with bench.fresh_store(drives=n, parity=parity):
            for name, operation in (('GET 10 KiB', Get(10 * KIB)),
                                    ('PUT 10 KiB', Put(10 * KIB, 'unsigned')),
                                    ('GET 1 MiB', Get(MIB)),
                                    ('PUT 1 MiB', Put(MIB, 'unsigned',
                                                      'unique'))):
                operation.prepare(bench)
                series.setdefault(name, []).append(
                    {'x': n, **point(bench, operation)})
    return series


def lines(what, series):
    out = []
    for name, points in series.items():
        values = ', '.join(f'{p["x"]:,}: {p["cpu_us"]:.1f}' for p in points)
        out.append(f'growth, {name} by {what}, µs/op: {values}')
    return out


GROWTH = {'growth-objects': ('objects', objects),
          'growth-connections': ('connections', connections),
          'growth-drives': ('drives', drives)}
