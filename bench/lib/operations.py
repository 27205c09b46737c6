"""The operations: what a window of each asks of the store, and of nginx."""

import os

from . import system

KIB, MIB = 1 << 10, 1 << 20
BUCKET = 'bench'
SMALL = 16                          # bytes of the objects that are listed

# Requests to have ready for each second of a first window.
GUESS = ((16 * KIB, 40000), (128 * KIB, 8000), (2 * MIB, 1200), (1 << 40, 250))


def size_name(size):
    return f'{size // MIB}m' if size >= MIB else f'{size // KIB}k'


def size_title(size):
    return f'{size // MIB} MiB' if size >= MIB else f'{size // KIB} KiB'


class Operation:
    """One row.  Windows are numbered, so that each can write new names."""

    keys = 1                        # keys an operation: of listings, a page
    stored = 0                      # bytes an operation stores
    connections = None              # those of the bench
    fresh = False                   # wants a store of its own
    varies = False                  # from window to window: three times as many
    beside = None                   # another of ours, measured in turn with it

    def rounds(self, bench):
        return bench.rounds * (3 if self.varies else 1)

    def prepare(self, bench):
        pass

    def ours(self, bench, number, **options):
        raise NotImplementedError

    def reference(self, bench, number, **options):
        return None


def fill(bench, server, path, count, size, **options):
    """Puts `count` objects, as fast as it goes."""
    status = 200 if server is bench.store else 201
    bench.client.window(server, 'PUT', path, body=size, requests=count,
                        seconds=3600, status=status,
                        connections=min(64, count), **options)


class Get(Operation):
    def __init__(self, size):
        self.size = size
        self.name = f'get-{size_name(size)}'
        self.title = f'GET {size_title(size)}'
        self.count = max(8, min(1000, 64 * MIB // size))

    def prepare(self, bench):
        fill(bench, bench.store, f'/{BUCKET}/{self.name}/@n', self.count,
             self.size)
        bench.client.window(bench.store, 'GET', f'/{BUCKET}/{self.name}/@n',
                            requests=self.count, seconds=3600,
                            verify=self.size, connections=8)
        directory = os.path.join(bench.reference.directory, 'files', 'get',
                                 self.name)
        if os.path.isdir(directory):
            return
        os.mkdir(directory)
        data = os.urandom(self.size)
        for i in range(self.count):
            with open(os.path.join(directory, f'{i:09}'), 'wb') as f:
                f.write(data)
        system.flush(directory)

    def _get(self, bench, server, path, options):
        return bench.client.window(server, 'GET', path, requests=self.count,
                                   cycle=True, length=self.size,
                                   **bench.options(self, options))

    def ours(self, bench, number, **options):
        return self._get(bench, bench.store, f'/{BUCKET}/{self.name}/@n',
                         options)

    def reference(self, bench, number, **options):
        where = 'get' if self.size < 64 * KIB else 'copied'
        return self._get(bench, bench.reference, f'/{where}/{self.name}/@n',
                         options)


class Head(Operation):
    name, title = 'head', 'HEAD'
    count = 1000

    def prepare(self, bench):
        fill(bench, bench.store, f'/{BUCKET}/head/@n', self.count, 4 * KIB)

    def ours(self, bench, number, **options):
        return bench.client.window(
            bench.store, 'HEAD', f'/{BUCKET}/head/@n', requests=self.count,
            cycle=True, length=4 * KIB, **bench.options(self, options))

    def reference(self, bench, number, **options):
        return bench.client.window(
            bench.reference, 'HEAD', '/empty', cycle=True,
            **bench.options(self, options))


class Put(Operation):
    """Each PUT has a new name."""

    def __init__(self, size, payload, etag='md5', connections=None):
        self.size = self.stored = size
        self.payload = payload
        self.etag = etag
        self.connections = connections
        self.fresh = size >= MIB
        self.varies = size < MIB
        self.name = f'put-{size_name(size)}-{payload}'
        self.title = f'PUT {size_title(size)} {payload}'
        if size >= MIB:
            self.name += f'-{etag}'
            self.title += f', {etag} ETag'
        if connections is not None:
            self.name += f'-x{connections}'
            self.title += f', {connections} at once'
        self.rate = next(rate for limit, rate in GUESS if size <= limit)

    def requests(self, bench):
        return int(self.rate * bench.seconds) + 1

    def ours(self, bench, number, **options):
        store = bench.store
        port = store.unique_port if self.etag == 'unique' else store.port
        result = bench.client.window(
            store, 'PUT', f'/{BUCKET}/{self.name}/{number}-@n', port=port,
            body=self.size, payload=self.payload,
            requests=self.requests(bench), **bench.options(self, options))
        self.rate = max(100, result['ops_per_s'] * 1.5)
        return result

    def reference(self, bench, number, **options):
        path = bench.reference.put_directory()
        result = bench.client.window(
            bench.reference, 'PUT', f'{path}/@n', status=201, body=self.size,
            requests=self.requests(bench) * 2, **bench.options(self, options))
        if self.size >= MIB:
            bench.reference.remove(path)
        system.flush(bench.reference.directory)
        return result


class Delete(Operation):
    """Of objects that were put before the first window."""
    name, title = 'delete', 'DELETE'
    varies = True
    rate = 12000
    path = None

    def count(self, bench):
        return int(self.rate * bench.seconds) + 1

    def prepare(self, bench):
        """A set for each round, for counting system calls, for a profile."""
        count = self.count(bench) * (self.rounds(bench) + 2)
        self.path = bench.reference.put_directory()
        for server, path in ((bench.store, f'/{BUCKET}/delete'),
                             (bench.reference, self.path)):
            fill(bench, server, f'{path}/@n', count, 4 * KIB)
        system.flush(bench.reference.directory)

    def _delete(self, bench, server, path, number, options):
        count = self.count(bench)
        return bench.client.window(server, 'DELETE', f'{path}/@n', status=204,
                                   first=number * count, requests=count,
                                   **bench.options(self, options))

    def ours(self, bench, number, **options):
        return self._delete(bench, bench.store, f'/{BUCKET}/delete', number,
                            options)

    def reference(self, bench, number, **options):
        return self._delete(bench, bench.reference, self.path, number, options)


class List(Operation):
    """Pages of 1,000 keys that start at 64 places of a bucket."""
    keys = 1000

    def __init__(self, bucket, count, delimiter=False, beside=None):
        self.bucket = bucket
        self.count = count
        self.delimiter = delimiter
        self.beside = beside
        self.varies = beside is not None
        self.name = f'list{"-delimiter" if delimiter else ""}-{bucket}'
        what = '1,000 prefixes' if delimiter else '1,000 keys'
        self.title = f'LIST {what} of {count:,}'

    def prepare(self, bench):
        bench.fill_bucket(self.bucket, self.count)

    def ours(self, bench, number, **options):
        if self.delimiter:
            query = 'delimiter=%2F&list-type=2&max-keys=1000'
            return bench.client.window(
                bench.store, 'GET', f'/{self.bucket}', query=query, cycle=True,
                prefixes=1000, **bench.options(self, options))
        query = 'list-type=2&max-keys=1000&start-after=@p%2F'
        return bench.client.window(
            bench.store, 'GET', f'/{self.bucket}', query=query, requests=64,
            cycle=True, keys=1000, **bench.options(self, options))


# Keys of the buckets that are listed: 1,000 groups of the same size.
LIST_KEY = '@p/@q'


def table(many):
    """The rows of the table, `many` being the keys of the large bucket."""
    few = List('few', 10000)
    return [
        *(Get(size)
          for size in (4 * KIB, 10 * KIB, 64 * KIB, MIB, 8 * MIB)),
        Head(),
        *(Put(size, payload) for size in (4 * KIB, 10 * KIB)
          for payload in ('unsigned', 'signed')),
        Delete(),
        *(Put(8 * MIB, payload, etag, connections)
          for connections in (None, 1)
          for payload, etag in (('trailer', 'unique'), ('trailer', 'md5'),
                                ('signed', 'unique'))),
        few,
        List('many', many, beside=few),
        List('many', many, delimiter=True),
    ]
