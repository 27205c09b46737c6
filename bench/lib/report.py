"""The table for people."""

HEAD = ('operation', 'µs/op', 'nginx', 'ratio', 'op/s', 'p50', 'p99', 'p99.9',
        'calls', 'nginx', 'disk', 'nginx', 'srv', 'cli', '')
FORM = '{:36} {:>8} {:>8} {:>6} {:>8} {:>8} {:>8} {:>8} {:>6} {:>6} {:>5} ' \
       '{:>5} {:>4} {:>4} {}'

LEGEND = '''
µs/op: CPU time of all processes of the server for one operation; nginx: the
reference in the same run.  p50, p99, p99.9: latency in µs.  calls: system
calls an operation.  disk: bytes the processes wrote for each byte stored.
srv, cli: how busy the processors of server and client were; C: the client was
the limit, so that op/s and latency are the client's, and µs/op still holds.'''


def short(value, digits=1):
    if value is None:
        return ''
    if value >= 1000:
        return f'{value:.0f}'
    return f'{value:.{digits}f}'


def disk(row, side):
    if side not in row or not row['stored']:
        return ''
    return short(row[side]['written_per_op'] / row['stored'], 2)


def line(row):
    ours, nginx = row['ours'], row.get('reference', {})
    return FORM.format(
        row['title'], short(ours['cpu_us']), short(nginx.get('cpu_us')),
        short(row.get('ratio'), 2), short(ours['ops_per_s'], 0),
        short(ours['p50_us'], 0), short(ours['p99_us'], 0),
        short(ours['p999_us'], 0), short(ours.get('syscalls')),
        short(nginx.get('syscalls')), disk(row, 'ours'),
        disk(row, 'reference'), f'{ours["server_busy"]:.0%}',
        f'{ours["client_busy"]:.0%}',
        'C' if ours['client_limits'] else '').rstrip()


def head():
    return FORM.format(*HEAD).rstrip()


def bar_line(bar):
    sign = '>=' if bar['least'] else '<='
    verdict = 'met' if bar['met'] else 'MISSED'
    return (f'{bar["row"]:36} {bar["value"]:>9.2f} {bar["what"]:28} '
            f'{sign} {bar["limit"]:<6g} {verdict}')


def hashing(rows):
    """What MD5 and SHA-256 add to a PUT of 8 MiB."""
    cpu = {row['name']: row['ours']['cpu_us'] for row in rows}
    out = []
    for suffix, title in (('', 'all connections'), ('-x1', 'one connection')):
        plain = cpu.get(f'put-8m-trailer-unique{suffix}')
        for what, name in (('MD5', 'put-8m-trailer-md5'),
                           ('SHA-256', 'put-8m-signed-unique')):
            if plain and cpu.get(name + suffix):
                more = cpu[name + suffix] - plain
                out.append(f'PUT 8 MiB, {title}: {what} adds {more:.0f} µs, '
                           f'{more / plain:.0%}')
    return out


def waited(rows):
    """A warning if somebody else was using the server's processor."""
    shares = [row['ours']['server_waits'] for row in rows]
    if not shares or sum(shares) / len(shares) < 0.05:
        return None
    return (f'Not alone: while these were measured the server waited '
            f'{sum(shares) / len(shares):.0%} of the time for its processor.')


def cells(*values):
    return '| ' + ' | '.join(values) + ' |'


def markdown(results):
    """Both tables, for a document."""
    out = [cells('operation', 'µs/op', 'nginx', 'ratio', 'calls', 'nginx',
                 'disk', 'nginx'), '|---' * 8 + '|']
    for row in results['rows']:
        ours, nginx = row['ours'], row.get('reference', {})
        out.append(cells(
            row['title'], short(ours['cpu_us']), short(nginx.get('cpu_us')),
            short(row.get('ratio'), 2), short(ours.get('syscalls')),
            short(nginx.get('syscalls')), disk(row, 'ours'),
            disk(row, 'reference')))
    out += ['', cells('to reach', '', 'limit', ''), '|---' * 4 + '|']
    for bar in results['bars']:
        out.append(cells(
            bar['row'], f'{bar["value"]:.2f} {bar["what"]}',
            f'at {"least" if bar["least"] else "most"} {bar["limit"]:g}',
            'met' if bar['met'] else '**missed**'))
    return '\n'.join(out)
