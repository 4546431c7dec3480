"""Decides how many copies of each bucket a site holds: the more of its demand, the more copies. Pure.

One copy of a bucket is to bear at most a quarter of what one box of the site bears on average, so that
no box is hot for one bucket alone. As the shares of all buckets add up to one, a site of n boxes holds at
most 4n copies more than it would anyway, whatever its players watch.

Buckets and not titles, because clients are sent by bucket: a copy of a title on a box that does not
hold the rest of its bucket would be asked for by nobody.

A number of copies stays until the demand has left it by a quarter: what comes and goes with the days of
the week moves no bytes.
"""

import math
from collections.abc import Mapping

# What one copy may bear, of what one box of the site bears on average.
COPY_SHARE_MAX = 0.25
# By how much the demand of a bucket must change before its copies do.
STAY = 1.25


def copies_by_bucket(
    demand: Mapping[int, float],
    before: Mapping[int, int],
    *,
    members: int,
    copies_min: int,
    copies_max: int,
) -> Mapping[int, int]:
    """The buckets of one site that it holds more than `copies_min` of, and how many copies.

    `demand` is in any unit; `members` are the boxes of the site; `before` is what this gave the last
    time.
    """
    total = sum(demand.values())
    most = min(copies_max, members)
    found: dict[int, int] = {}
    for bucket in sorted(demand.keys() | before.keys()):
        share = demand.get(bucket, 0.0) / total if total > 0 else 0.0
        copies = min(
            _settled(share * members / COPY_SHARE_MAX, before.get(bucket, copies_min)), most
        )
        if copies > copies_min:
            found[bucket] = copies
    return found


def _settled(heat: float, before: int) -> int:
    """Copies for a heat of so many copies' worth."""
    if (before - 1) / STAY <= heat <= before * STAY:
        return before
    return math.ceil(heat)
