"""Small charts as SVG: bars on a logarithmic axis, lines on two of them."""

import math
from html import escape

FONT = 'font-family="sans-serif" font-size="12"'
COLOURS = ('#1f6fb2', '#d1691c', '#2d8f4e', '#8a4fa3', '#b8322a', '#6b6b6b')
GRID, TEXT = '#d8d8d8', '#222222'


class Drawing:
    def __init__(self, width, height):
        self.width, self.height = width, height
        self.parts = []

    def line(self, x1, y1, x2, y2, colour, width=1, dash=''):
        dash = f' stroke-dasharray="{dash}"' if dash else ''
        self.parts.append(
            f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" '
            f'stroke="{colour}" stroke-width="{width}"{dash}/>')

    def box(self, x, y, width, height, colour):
        self.parts.append(
            f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(width, 0):.1f}" '
            f'height="{height:.1f}" fill="{colour}"/>')

    def dot(self, x, y, colour):
        self.parts.append(
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>')

    def text(self, x, y, text, anchor='start', colour=TEXT, weight='normal'):
        self.parts.append(
            f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" '
            f'fill="{colour}" font-weight="{weight}">{escape(text)}</text>')

    def save(self, path):
        with open(path, 'w', encoding='utf-8') as f:
            f.write(f'<svg xmlns="http://www.w3.org/2000/svg" {FONT} '
                    f'width="{self.width}" height="{self.height}" '
                    f'viewBox="0 0 {self.width} {self.height}">\n')
            f.write(f'<rect width="{self.width}" height="{self.height}" '
                    'fill="white"/>\n')
            f.write('\n'.join(self.parts) + '\n</svg>\n')


class Log:
    """A logarithmic axis from `low` to `high`, in whole decades."""

    def __init__(self, values, start, end):
        self.low = 10 ** math.floor(math.log10(min(values)) + 1e-9)
        self.high = 10 ** math.ceil(math.log10(max(values)) - 1e-9)
        if self.high == self.low:
            self.high *= 10
        self.start, self.end = start, end

    def __call__(self, value):
        share = (math.log10(value / self.low)
                 / math.log10(self.high / self.low))
        return self.start + share * (self.end - self.start)

    def ticks(self):
        value = self.low
        while value <= self.high * 1.001:
            yield value
            value *= 10


def number(value):
    if value >= 1e6:
        return f'{value / 1e6:g}M'
    if value >= 1e4:
        return f'{value / 1e3:g}k'
    return f'{value:g}'


def bars(path, title, names, groups, note, marks=()):
    """Horizontal bars.  groups: {'legend': [value or None, ...]}.

    marks: a limit for each name, or None.
    """
    left, right, top, row = 270, 90, 70, 15
    step = row * len(groups) + 9
    d = Drawing(920, top + step * len(names) + 30)
    values = [v for group in groups.values() for v in group if v]
    values += [mark for mark in marks if mark]
    axis = Log(values, left, d.width - right)
    d.text(10, 22, title, weight='bold')
    d.text(10, 42, note)
    bottom = top + step * len(names)
    for tick in axis.ticks():
        d.line(axis(tick), top - 6, axis(tick), bottom, GRID)
        d.text(axis(tick), bottom + 16, number(tick), 'middle')
    for i, legend in enumerate(groups):
        x = 560 + 150 * i
        d.box(x, 12, 12, 12, COLOURS[i])
        d.text(x + 18, 22, legend)
    for i, name in enumerate(names):
        y = top + i * step
        d.text(left - 8, y + row * len(groups) / 2 + 4, name, 'end')
        for j, group in enumerate(groups.values()):
            if group[i]:
                d.box(left, y + j * row, axis(group[i]) - left, row - 2,
                      COLOURS[j])
                d.text(d.width - 10, y + j * row + 11,
                       f'{group[i]:,.0f}' if group[i] >= 100
                       else f'{group[i]:.1f}', 'end')
        if marks and marks[i]:
            d.line(axis(marks[i]), y - 3, axis(marks[i]),
                   y + row * len(groups) + 1, TEXT, 2)
    d.save(path)


def lines(path, title, x_title, y_title, series):
    """series: {'legend': [(x, y), ...]}; both axes are logarithmic."""
    left, right, top, bottom = 70, 190, 50, 410
    d = Drawing(820, 460)
    xs = sorted({x for points in series.values() for x, _ in points})
    x_axis = Log(xs, left, d.width - right)
    x_axis.low, x_axis.high = xs[0], max(xs[-1], xs[0] * 1.01)
    y_axis = Log([y for points in series.values() for _, y in points],
                 bottom, top)
    d.text(10, 22, title, weight='bold')
    d.text(10, 40, y_title)
    for tick in y_axis.ticks():
        d.line(left, y_axis(tick), d.width - right, y_axis(tick), GRID)
        d.text(left - 8, y_axis(tick) + 4, number(tick), 'end')
    for x in xs:
        d.line(x_axis(x), top, x_axis(x), bottom, GRID, dash='2,3')
        d.text(x_axis(x), bottom + 18, number(x), 'middle')
    d.text((left + d.width - right) / 2, bottom + 40, x_title, 'middle')
    for i, (legend, points) in enumerate(series.items()):
        colour = COLOURS[i % len(COLOURS)]
        for (x1, y1), (x2, y2) in zip(points, points[1:]):
            d.line(x_axis(x1), y_axis(y1), x_axis(x2), y_axis(y2), colour, 2)
        for x, y in points:
            d.dot(x_axis(x), y_axis(y), colour)
        y = top + 10 + 22 * i
        d.line(d.width - right + 15, y, d.width - right + 40, y, colour, 3)
        d.text(d.width - right + 48, y + 4, legend)
    d.save(path)
