"""Draws what bench/run --json has written; tables go to stdout."""

import json
import os
import sys

from . import report, svg

GROWTH = (('growth-objects', 'objects in the bucket'),
          ('growth-connections', 'connections'),
          ('growth-drives', 'drives (parity 0, 1, then 2)'))


def limits(rows, judged):
    """The CPU time that each row may take at most, where there is a bar."""
    out = []
    for row in rows:
        cpu = row['ours']['cpu_us']
        out.append(min((cpu * bar['limit'] / bar['value'] for bar in judged
                        if bar['row'] == row['name']), default=None))
    return out


def plot_table(rows, judged, path):
    names = [row['title'] for row in rows]
    svg.bars(path, 'CPU time of the server for one operation', names,
             {'this module': [row['ours']['cpu_us'] for row in rows],
              'nginx, plain files': [row.get('reference', {}).get('cpu_us')
                                     for row in rows]},
             'µs, logarithmic; shorter is better; the black line is the bar',
             limits(rows, judged))


def plot_latency(rows, path):
    svg.bars(path, 'Latency', [row['title'] for row in rows],
             {'p50': [row['ours']['p50_us'] for row in rows],
              'p99': [row['ours']['p99_us'] for row in rows],
              'p99.9': [row['ours']['p999_us'] for row in rows]},
             'µs, logarithmic; shorter is better')


def main():
    if len(sys.argv) not in (2, 3):
        sys.exit('usage: bench/plot FILE.json [DIRECTORY]')
    with open(sys.argv[1], encoding='utf-8') as f:
        results = json.load(f)
    directory = sys.argv[2] if len(sys.argv) > 2 else '.'
    os.makedirs(directory, exist_ok=True)
    if results['rows']:
        print(report.markdown(results))
        plot_table(results['rows'], results['bars'],
                   os.path.join(directory, 'cpu.svg'))
        plot_latency(results['rows'], os.path.join(directory, 'latency.svg'))
    for name, x_title in GROWTH:
        if name in results:
            series = {legend: [(p['x'], p['cpu_us']) for p in points]
                      for legend, points in results[name].items()}
            svg.lines(os.path.join(directory, f'{name}.svg'),
                      f'CPU time of the server by {x_title}', x_title,
                      'µs for one operation', series)


if __name__ == '__main__':
    main()
