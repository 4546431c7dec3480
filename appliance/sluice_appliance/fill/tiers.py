"""Which titles are held, and on which tier, once all has come.

Titles are taken in order of importance while all tiers together have room for them; one that does not
fit is passed over, and smaller ones behind it may still be taken. Of those that are taken, flash goes to
the ones that most is asked of for each byte. One that stands on flash stays there until another is
asked for `STAY` times as much: a move costs flash writes, and two titles of like demand would change
places every day.
"""

from collections.abc import Sequence
from math import inf
from typing import NamedTuple

from sluice_appliance.fill.holdings import Standing
from sluice_appliance.fill.manifest import WantedTitle
from sluice_appliance.fill.policy import Priority
from sluice_appliance.fill.shelves import Shelf, Tier

STAY = 2.0
_NORMAL = Priority.NORMAL


class Taken(NamedTuple):
    """Titles to hold with the shelf of each, and those without room, both the most important first."""

    titles: Sequence[tuple[WantedTitle, Standing, int]]
    without_room: Sequence[tuple[WantedTitle, Standing]]


def take(
    titles: Sequence[WantedTitle], standings: Sequence[Standing], shelves: Sequence[Shelf]
) -> Taken:
    """In the manifest's order; more urgent titles are more important."""
    ranked = _by_priority(list(zip(titles, standings, strict=True)))
    left_bytes = sum([shelf.capacity_bytes for shelf in shelves])
    # None for what has no room.
    places: list[int | None] = []
    for _, standing in ranked:
        needs = standing.movable_bytes
        if needs <= left_bytes:
            left_bytes -= needs
            places.append(0)
        else:
            places.append(None)
    if len(shelves) > 1:
        _spread(ranked, places, shelves)
    placed = list(zip(ranked, places, strict=True))
    return Taken(
        [(title, standing, place) for (title, standing), place in placed if place is not None],
        [each for each, place in placed if place is None],
    )


def _by_priority(
    titles: Sequence[tuple[WantedTitle, Standing]],
) -> Sequence[tuple[WantedTitle, Standing]]:
    # Few are urgent, and what is normal stands in order already.
    urgent = [each for each in titles if each[0].priority is not _NORMAL]
    if not urgent:
        return titles
    urgent.sort(key=_priority, reverse=True)
    return [*urgent, *[each for each in titles if each[0].priority is _NORMAL]]


def _priority(each: tuple[WantedTitle, Standing]) -> Priority:
    return each[0].priority


def _spread(
    titles: Sequence[tuple[WantedTitle, Standing]],
    places: list[int | None],
    shelves: Sequence[Shelf],
) -> None:
    """The shelf of each that fits; a few may find no room on either, though both together had it."""
    fast, slow = [shelf.capacity_bytes for shelf in shelves]
    fitting = [i for i, place in enumerate(places) if place is not None]
    pulls = [_pull(title, standing, shelves) for title, standing in titles]
    waiting = set(fitting)
    for i in sorted(fitting, key=pulls.__getitem__, reverse=True):
        standing = titles[i][1]
        needs = standing.movable_bytes
        if needs <= fast and (pulls[i] > 0 or standing.home == 0):
            fast -= needs
            places[i] = 0
            waiting.discard(i)
    for i in fitting:
        if i not in waiting:
            continue
        needs = titles[i][1].movable_bytes
        if needs <= slow:
            slow -= needs
            places[i] = 1
        elif needs <= fast:
            fast -= needs
            places[i] = 0
        else:
            places[i] = None


def _pull(title: WantedTitle, standing: Standing, shelves: Sequence[Shelf]) -> float:
    """How strongly flash pulls the title: demand for each byte, more where it stands there already.
    What has begun to come goes on where it began."""
    home = standing.home
    if standing.missing and home is not None:
        return inf if shelves[home].tier is Tier.SSD else 0.0
    density = title.demand_bytes_per_s / (title.size_bytes or 1)
    return density * STAY if home == 0 else density
