"""Decides how much of each title an appliance's clients are expected to take, and in which order it fetches. Pure.

The order is by demand per byte held: what a byte on the disk saves. Popularity = bytes served by size is
also how Open Connect ranks.

A title without history is expected to be as wanted as its site's most wanted, byte for byte; that
expectation fades as observed demand does, so that the sum of both is what a mean that began with the
expectation would say. Where nothing was ever watched, nothing is expected, and the newest comes first.

A number that is told stays until it is wrong by half: a manifest is fetched, verified and planned anew
by every box, and an evening's ups and downs are not worth that.
"""

from collections.abc import Collection, Iterable, Mapping

from sluice.content.v1 import content_pb2
from sluice.fill.v1 import fill_pb2
from sluice_control_plane.content.titles import version_name
from sluice_control_plane.demand.smoothing import HALF_LIFE_S

STAY = 1.5
# After so many half-lives nothing is expected of newness any more; a thousandth is left.
_NEW_HALF_LIVES = 10


def expected_bytes_per_s(
    titles: Collection[content_pb2.Title],
    sizes: Mapping[str, int],
    observed: Mapping[str, float],
    now: float,
) -> Mapping[str, float]:
    """By title name, of one site. `sizes` is by title name, `observed` by `title/version`; `now` is in
    seconds since 1970."""
    rates = {title.name: observed.get(version_name(title), 0.0) for title in titles}
    most = max((rate / sizes[name] for name, rate in rates.items()), default=0.0)
    return {
        title.name: rates[title.name] + most * _newness(title, now) * sizes[title.name]
        for title in titles
    }


def settled(before: float, now: float) -> float:
    """What is told: what was told before where it is not wrong by half."""
    return before if before / STAY <= now <= before * STAY else float(f"{now:.3g}")


def in_order(
    told: Mapping[str, float],
    sizes: Mapping[str, int],
    plain: Mapping[str, fill_pb2.FillTitle],
    catalog: Mapping[str, content_pb2.Title],
) -> list[str]:
    """The names of `told`: by priority, then the most wanted byte first, then the newest. All are by
    name; `plain` has the priorities."""
    return sorted(
        told,
        key=lambda name: (
            -plain[name].priority,
            -told[name] / sizes[name],
            -catalog[name].create_time.ToMicroseconds(),
            name,
        ),
    )


def sizes_of(titles: Iterable[content_pb2.Title]) -> Mapping[str, int]:
    """The bytes of all objects of each title, by name; at least 1."""
    return {title.name: max(1, sum(item.size_bytes for item in title.objects)) for title in titles}


def _newness(title: content_pb2.Title, now: float) -> float:
    half_lives = max(0.0, now - title.create_time.ToMicroseconds() / 1e6) / HALF_LIFE_S
    return float(2.0**-half_lives) if half_lives < _NEW_HALF_LIVES else 0.0
