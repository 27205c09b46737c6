"""Measures one node against stock nginx, in the same run.

See docs/benchmarks.md for what is measured, how, and how to read it.
"""

import argparse
import json
import os
import signal
import sys
import time

from . import (bars, operations, profile, report, servers, syscalls,
               system)
from .bench import Bench
from .growth import GROWTH, lines
from .sections import SECTIONS


def arguments():
    p = argparse.ArgumentParser(prog='bench/run', description=__doc__)
    p.add_argument('--json', metavar='FILE', help='the results, as JSON')
    p.add_argument('--only', metavar='NAME,...', default='',
                   help='what has a name that begins so')
    p.add_argument('--profile', metavar='DIR',
                   help='profiles of the rows, by perf, in DIR')
    p.add_argument('--list', action='store_true', help='all names')
    p.add_argument('--growth', action='store_true',
                   help='also against objects, connections and drives')
    p.add_argument('--objects', type=int, default=1000000, metavar='N',
                   help='how far the number of objects grows (1000000)')
    p.add_argument('--seconds', type=float, default=1.0,
                   help='length of a window (1)')
    p.add_argument('--rounds', type=int, default=3,
                   help='windows of each operation and side (3)')
    p.add_argument('--connections', type=int, default=16)
    p.add_argument('--many', type=int, default=100000, metavar='N',
                   help='keys in the large bucket (100000)')
    p.add_argument('--million', action='store_const', dest='many',
                   const=1000000, help='the same as --many 1000000')
    p.add_argument('--build', metavar='DIR',
                   default=os.path.join(system.TOP, 'build'),
                   help='where the module is built (build)')
    p.add_argument('--module', metavar='FILE',
                   help='a module that is built already')
    p.add_argument('--dir', default='/var/tmp',
                   help='a directory on a disk for all data (/var/tmp)')
    p.add_argument('--nice', type=int, metavar='N', default=0,
                   help='of all of it; below 0 where others are at work')
    p.add_argument('--endpoint', metavar='URL',
                   help='measure this S3 server instead of the module')
    p.add_argument('--access-key')
    p.add_argument('--secret-key')
    p.add_argument('--region', default='us-east-1')
    p.add_argument('--pid', type=int,
                   help='its first process, if it runs here: its CPU time')
    return p.parse_args()


def names(options):
    """Rows of the table, sections, growth: what is there for this server."""
    rows = {row.name: row for row in operations.table(options.many)}
    sections = dict(SECTIONS)
    if options.endpoint:
        sections = {'latency': sections['latency']}
    return rows, sections, {} if options.endpoint else dict(GROWTH)


def chosen(options):
    """What --only and --growth ask for."""
    begins = [name for name in options.only.split(',') if name]
    parts = names(options)
    if begins:
        parts = [{name: part for name, part in parts_of.items()
                  if any(name.startswith(b) for b in begins)}
                 for parts_of in parts]
    elif not options.growth:
        parts = (parts[0], parts[1], {})
    if not any(parts):
        raise system.Failed('nothing is called so; --list shows the names')
    return parts


def measure(bench, parts, out):
    rows, sections, growth = parts
    judged = []
    if rows:
        print(report.head(), flush=True)
    for row in rows.values():
        out['rows'].append(bench.run(row))
        print(report.line(out['rows'][-1]), flush=True)
    if rows:
        print(report.LEGEND, flush=True)
    judged += bars.table_bars(out['rows'])
    for line in report.hashing(out['rows']):
        print(line, flush=True)
    for name, section in sections.items():
        out[name], text, more = section(bench)
        print(*text, sep='\n', flush=True)
        judged += more
    for name, (what, section) in growth.items():
        out[name] = section(bench)
        print(*lines(what, out[name]), sep='\n', flush=True)
    out['bars'] = [bar.as_dict() for bar in judged]
    waited = report.waited(out['rows'])
    if waited:
        print(waited)
    print()
    for bar in out['bars']:
        print(report.bar_line(bar))


def server(options):
    """A module to be started, or a server that runs: one of them is None."""
    if options.endpoint:
        if not options.access_key or not options.secret_key:
            raise system.Failed('--access-key or --secret-key is missing')
        return None, servers.Endpoint(options.endpoint, options.access_key,
                                      options.secret_key, options.region,
                                      options.pid)
    if options.module:
        return os.path.abspath(options.module), None
    system.say('building')
    return system.build_module(os.path.abspath(options.build)), None


def main():
    options = arguments()
    if options.list:
        for part in names(options):
            print('\n'.join(part))
        return
    started = time.time()
    parts = chosen(options)
    system.install(*system.PACKAGES)
    if not syscalls.perf_works():
        system.install('strace')
    out = {'machine': system.describe(), 'seconds': options.seconds,
           'rounds': options.rounds, 'connections': options.connections,
           'many': options.many, 'rows': []}
    directory = system.temporary(options.dir)
    try:
        module, endpoint = server(options)
        bench = Bench(directory, options, module)
        if options.profile:
            bench.profiles = profile.directory(options.profile)
        out['syscalls_by'] = getattr(bench.counter, 'method', None)
        try:
            if len(bench.cpus) < 2:
                system.say('one processor: server and client share it')
            bench.start(endpoint)
            measure(bench, parts, out)
            if endpoint:
                bench.clean_endpoint()
        finally:
            bench.stop()
    finally:
        system.remove(directory)
    out['took_s'] = round(time.time() - started, 1)
    if options.json:
        with open(options.json, 'w') as f:
            json.dump(out, f, indent=1)
            f.write('\n')


def interrupted(*_):
    raise KeyboardInterrupt


if __name__ == '__main__':
    signal.signal(signal.SIGTERM, interrupted)
    try:
        main()
    except (system.Failed, OSError) as e:
        sys.exit(f'bench: {e}')
    except KeyboardInterrupt:
        sys.exit(130)
