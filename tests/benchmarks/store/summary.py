"""Medians and ranges over seeds, as a table: who misses least, on how many seeds, and how far Belady is."""

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from benchmarks.store.replay import OURS, Outcome

# What no policy can know: what is asked for next.
BOUND = "Belady"


@dataclass(frozen=True, slots=True)
class Spread:
    """Of one figure over the seeds."""

    median: float
    least: float
    most: float


@dataclass(frozen=True, slots=True)
class Row:
    """One policy on one trace at one budget."""

    policy: str
    trace: str
    drive_writes_per_day: float
    seeds: int
    byte_misses: Spread
    object_misses: Spread
    written: Spread
    cpu_us: Spread
    # On how many seeds our own policy misses fewer bytes.
    beaten: int


def rows(outcomes: Sequence[Outcome]) -> Iterator[Row]:
    """Those of each trace and budget together, the fewest byte misses first."""
    for trace, budget in dict.fromkeys((one.trace, one.drive_writes_per_day) for one in outcomes):
        here = [one for one in outcomes if (one.trace, one.drive_writes_per_day) == (trace, budget)]
        ours = {one.seed: one.byte_miss_ratio for one in here if one.policy == OURS}
        of_policy = [
            _row([one for one in here if one.policy == policy], ours)
            for policy in dict.fromkeys(one.policy for one in here)
        ]
        yield from sorted(of_policy, key=lambda row: row.byte_misses.median)


def table(of_one: Sequence[Row]) -> str:
    """As the manual has it (Markdown): the rows of one trace and budget."""
    lines = [
        "| policy | byte misses (range) | objects missed | written to flash | us a request | Sluice misses less |",
        "|---|---|---|---|---|---|",
    ]
    for row in of_one:
        beaten = "" if row.policy == OURS else f"{row.beaten} of {row.seeds}"
        misses = row.byte_misses
        lines.append(
            f"| {row.policy} | {misses.median:.4f} ({misses.least:.4f} to {misses.most:.4f})"
            f" | {row.object_misses.median:.4f} | {row.written.median:.3f}"
            f" | {row.cpu_us.median:.1f} | {beaten} |"
        )
    return "\n".join(lines)


def verdict(of_one: Sequence[Row]) -> str:
    """One line: the best policy that knows no future beside ours, and how far the bound is."""
    byte_misses = {row.policy: row.byte_misses.median for row in of_one}
    ours = byte_misses.get(OURS)
    online = {
        name: misses
        for name, misses in byte_misses.items()
        if name != OURS and not name.startswith(BOUND)
    }
    if ours is None or not online:
        return ""
    best = min(online, key=online.__getitem__)
    said = f"{OURS} misses {ours:.4f} of the bytes, the best peer ({best}) {online[best]:.4f}"
    if BOUND in byte_misses:
        said += f", {BOUND} {byte_misses[BOUND]:.4f}: {ours - byte_misses[BOUND]:.4f} to the bound"
    return said + "."


def _row(outcomes: Sequence[Outcome], ours: dict[int, float]) -> Row:
    first = outcomes[0]
    return Row(
        first.policy,
        first.trace,
        first.drive_writes_per_day,
        len(outcomes),
        _spread([one.byte_miss_ratio for one in outcomes]),
        _spread([one.object_miss_ratio for one in outcomes]),
        _spread([one.flash_bytes_per_byte_served for one in outcomes]),
        _spread([one.cpu_us_per_request for one in outcomes]),
        sum(ours.get(one.seed, 1.0) < one.byte_miss_ratio for one in outcomes),
    )


def _spread(figures: Sequence[float]) -> Spread:
    return Spread(statistics.median(figures), min(figures), max(figures))
