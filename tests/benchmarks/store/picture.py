"""Byte misses over flash writes, one point a policy, as an SVG written by hand: no library is needed."""

from collections.abc import Sequence

from benchmarks.store.replay import Outcome

_WIDTH, _HEIGHT, _LEFT, _TOP = 900, 560, 70, 50
_PLOT_WIDTH, _PLOT_HEIGHT = 620, 440
_FONT = 'font-family="sans-serif" font-size="12"'


def picture(outcomes: Sequence[Outcome], title: str) -> str:
    """The lower the better, the further to the left the less flash is worn."""
    most_written = 1.1 * max(each.flash_bytes_per_byte_served for each in outcomes)
    misses = [each.byte_miss_ratio for each in outcomes]
    low, high = 0.9 * min(misses), 1.05 * max(misses)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{_HEIGHT}" {_FONT}>',
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="white"/>',
        _text(_LEFT, 28, title, size=15),
        _frame(),
        _text(_LEFT + 180, _HEIGHT - 20, "bytes written to flash, per byte served"),
        _text(8, _TOP - 10, "byte miss ratio"),
    ]
    for tick in range(6):
        share = tick / 5
        x, y = _LEFT + share * _PLOT_WIDTH, _TOP + (1 - share) * _PLOT_HEIGHT
        parts.append(_text(x - 12, _TOP + _PLOT_HEIGHT + 18, f"{share * most_written:.2f}"))
        parts.append(_text(28, y + 4, f"{low + share * (high - low):.2f}"))
    for number, each in enumerate(sorted(outcomes, key=lambda one: one.byte_miss_ratio)):
        x = _LEFT + each.flash_bytes_per_byte_served / most_written * _PLOT_WIDTH
        y = _TOP + (high - each.byte_miss_ratio) / (high - low) * _PLOT_HEIGHT
        colour = "#c22" if each.policy == "Sluice" else "#247"
        parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="5" fill="{colour}"/>')
        parts.append(_text(x + 7, y + 4, str(number + 1)))
        row = f"{number + 1}  {each.policy}: {each.byte_miss_ratio:.3f}"
        parts.append(_text(_LEFT + _PLOT_WIDTH + 15, _TOP + 12 + 20 * number, row, colour=colour))
    return "\n".join((*parts, "</svg>", ""))


def _frame() -> str:
    size = f'width="{_PLOT_WIDTH}" height="{_PLOT_HEIGHT}"'
    return f'<rect x="{_LEFT}" y="{_TOP}" {size} fill="none" stroke="#888"/>'


def _text(x: float, y: float, text: str, *, size: int = 12, colour: str = "#222") -> str:
    plain = text.replace("&", "&amp;").replace("<", "&lt;")
    return f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" fill="{colour}">{plain}</text>'
