"""What is to be reached, and whether it is."""

from dataclasses import dataclass


@dataclass
class Bar:
    row: str
    what: str                       # what is divided by what
    value: float
    limit: float
    least: bool = False             # the limit is a minimum

    def met(self):
        return (self.value >= self.limit if self.least
                else self.value <= self.limit)

    def as_dict(self):
        return {'row': self.row, 'what': self.what,
                'value': round(self.value, 3), 'limit': self.limit,
                'least': self.least, 'met': self.met()}


# Row -> at most so many times the reference's CPU time an operation.
AGAINST_NGINX = {
    'get-4k': 2, 'get-10k': 2, 'get-64k': 1.5, 'get-1m': 1.4, 'get-8m': 1.3,
    'head': 2,
    'put-4k-unsigned': 1, 'put-4k-signed': 1,
    'put-10k-unsigned': 1, 'put-10k-signed': 1,
}

# Row -> another row of ours, at most so many times its CPU time.
AGAINST_OURS = {
    'delete': ('put-4k-unsigned', 0.5),
    'list-many': ('list-few', 1.1),
    'list-delimiter-many': ('list-many', 20),
    'put-8m-trailer-unique': ('get-8m', 3),
    'put-8m-trailer-md5': ('put-8m-trailer-unique', 2),
}

LIST_US_A_KEY = 1.5


def table_bars(rows):
    """The bars that the rows at hand allow to be judged."""
    cpu = {row['name']: row['ours']['cpu_us'] for row in rows
           if row['ours']['cpu_us']}
    bars = []
    for row in rows:
        name = row['name']
        if name not in cpu:
            continue
        if name in AGAINST_NGINX and row.get('ratio'):
            bars.append(Bar(name, 'of nginx', row['ratio'],
                            AGAINST_NGINX[name]))
        if name in ('list-few', 'list-many'):
            bars.append(Bar(name, 'µs a key', cpu[name] / row['keys'],
                            LIST_US_A_KEY))
        other, limit = AGAINST_OURS.get(name, (None, None))
        beside = row.get('beside')
        if beside and beside['name'] == other:
            bars.append(Bar(name, f'of {other}', beside['ratio'], limit))
        elif other in cpu:
            bars.append(Bar(name, f'of {other}', cpu[name] / cpu[other],
                            limit))
    return bars
