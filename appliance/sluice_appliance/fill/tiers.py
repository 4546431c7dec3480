"""Which titles are held, and on which tier, once all has come.

Titles are taken in order of importance while all tiers together have room for them; one that does not
fit is passed over, and smaller ones behind it may still be taken. Of those that are taken, flash goes to
the ones that most is asked of for each byte. One that stands on flash stays there until another is
asked for `STAY` times as much: a move costs flash writes, and two titles of like demand would change
places every day.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf

from sluice_appliance.fill.policy import Priority
from sluice_appliance.fill.shelves import Shelf, Tier
from sluice_appliance.fill.survey import Standing

STAY = 2.0
_NORMAL = Priority.NORMAL


@dataclass(frozen=True, slots=True)
class Taken:
    """Titles to hold with the shelf of each, and those without room, both the most important first."""

    titles: Sequence[tuple[Standing, int]]
    without_room: Sequence[Standing]


def take(standings: Sequence[Standing], shelves: Sequence[Shelf]) -> Taken:
    """`standings` in the manifest's order; more urgent ones are more important."""
    standings = _by_priority(standings)
    left_bytes = sum([shelf.capacity_bytes for shelf in shelves])
    # None for what has no room.
    places: list[int | None] = []
    for standing in standings:
        needs = standing.movable_bytes
        if needs <= left_bytes:
            left_bytes -= needs
            places.append(0)
        else:
            places.append(None)
    if len(shelves) > 1:
        _spread(standings, places, shelves)
    placed = list(zip(standings, places, strict=True))
    return Taken(
        [(standing, place) for standing, place in placed if place is not None],
        [standing for standing, place in placed if place is None],
    )


def _by_priority(standings: Sequence[Standing]) -> Sequence[Standing]:
    # Few are urgent, and what is normal stands in order already.
    urgent = [each for each in standings if each.title.priority is not _NORMAL]
    urgent.sort(key=_priority, reverse=True)
    return [*urgent, *[each for each in standings if each.title.priority is _NORMAL]]


def _priority(standing: Standing) -> Priority:
    return standing.title.priority


def _spread(
    standings: Sequence[Standing], places: list[int | None], shelves: Sequence[Shelf]
) -> None:
    """The shelf of each that fits; a few may find no room on either, though both together had it."""
    fast, slow = [shelf.capacity_bytes for shelf in shelves]
    fitting = [i for i, place in enumerate(places) if place is not None]
    pulls = {i: _pull(standings[i], shelves) for i in fitting}
    waiting = set(fitting)
    for i in sorted(fitting, key=pulls.__getitem__, reverse=True):
        needs = standings[i].movable_bytes
        if needs <= fast and (pulls[i] > 0 or standings[i].home == 0):
            fast -= needs
            places[i] = 0
            waiting.discard(i)
    for i in fitting:
        if i not in waiting:
            continue
        needs = standings[i].movable_bytes
        if needs <= slow:
            slow -= needs
            places[i] = 1
        elif needs <= fast:
            fast -= needs
            places[i] = 0
        else:
            places[i] = None


def _pull(standing: Standing, shelves: Sequence[Shelf]) -> float:
    """How strongly flash pulls the title: demand for each byte, more where it stands there already.
    What has begun to come goes on where it began."""
    home, title = standing.home, standing.title
    if standing.missing and home is not None:
        return inf if shelves[home].tier is Tier.SSD else 0.0
    density = title.demand_bytes_per_s / (title.size_bytes or 1)
    return density * STAY if home == 0 else density
