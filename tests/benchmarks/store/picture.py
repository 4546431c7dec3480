"""Byte misses over flash writes, a panel for each budget, as an SVG written by hand: no library is needed.

Each policy is a point at its medians, with a line over the range of its byte misses.
"""

from collections.abc import Iterator, Sequence

from benchmarks.store.replay import OURS
from benchmarks.store.summary import BOUND, Row

_PANEL_WIDTH, _WIDTH, _HEIGHT, _LEFT, _TOP = 400, 200, 250, 60, 60
_LINE = 15
_FONT = 'font-family="sans-serif" font-size="11"'


def picture(rows: Sequence[Row]) -> str:
    """Of one trace. The lower the better; the further to the left, the less flash is worn."""
    budgets = list(dict.fromkeys(row.drive_writes_per_day for row in rows))
    low = 0.98 * min(row.byte_misses.least for row in rows)
    high = 1.02 * max(row.byte_misses.most for row in rows)
    width, height = _PANEL_WIDTH * len(budgets), _TOP + _HEIGHT + 50
    head = f"{rows[0].trace}: byte misses, medians and ranges over {rows[0].seeds} seeds"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" {_FONT}>',
        f'<rect width="{width}" height="{height}" fill="white"/>',
        _text(10, 20, head, size=14),
    ]
    for number, budget in enumerate(budgets):
        here = [row for row in rows if row.drive_writes_per_day == budget]
        parts.append(f'<g transform="translate({number * _PANEL_WIDTH},0)">')
        parts.extend((*_axes(here, budget, low, high), *_points(here, low, high), "</g>"))
    return "\n".join((*parts, "</svg>", ""))


def _axes(rows: Sequence[Row], budget: float, low: float, high: float) -> Iterator[str]:
    size = f'width="{_WIDTH}" height="{_HEIGHT}"'
    yield _text(_LEFT, _TOP - 10, f"{budget:g} drive writes a day")
    yield f'<rect x="{_LEFT}" y="{_TOP}" {size} fill="none" stroke="#888"/>'
    yield _text(_LEFT, _TOP + _HEIGHT + 34, "bytes written for a byte served")
    most = _most_written(rows)
    for tick in range(3):
        share = tick / 2
        x, y = _LEFT + share * _WIDTH, _TOP + (1 - share) * _HEIGHT
        yield _text(x - 10, _TOP + _HEIGHT + 16, f"{share * most:.2f}")
        yield _text(_LEFT - 34, y + 4, f"{low + share * (high - low):.2f}")


def _points(rows: Sequence[Row], low: float, high: float) -> Iterator[str]:
    def place(misses: float) -> float:
        return _TOP + (high - misses) / (high - low) * _HEIGHT

    most = _most_written(rows)
    for number, row in enumerate(rows, 1):
        x = _LEFT + row.written.median / most * _WIDTH
        y = place(row.byte_misses.median)
        top, bottom = place(row.byte_misses.most), place(row.byte_misses.least)
        colour = "#c22" if row.policy == OURS else "#282" if row.policy[:6] == BOUND else "#247"
        yield f'<path d="M{x:.1f} {top:.1f}V{bottom:.1f}" stroke="{colour}"/>'
        yield f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{colour}"/>'
        yield _text(x + 6, y + 4, str(number), colour=colour)
        name = f"{number} {row.policy.replace('second hit', '2nd hit')}"
        yield _text(_LEFT + _WIDTH + 8, _TOP + 8 + _LINE * number, name, colour=colour)


def _most_written(rows: Sequence[Row]) -> float:
    return 1.1 * max(row.written.median for row in rows)


def _text(x: float, y: float, text: str, *, size: int = 11, colour: str = "#222") -> str:
    plain = text.replace("&", "&amp;").replace("<", "&lt;")
    return f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" fill="{colour}">{plain}</text>'
