"""Which titles are held, and on which tier, once all has come.

Titles are taken in order of importance while all tiers together have room for them; one that does not
fit is passed over, and smaller ones behind it may still be taken. Of those that are taken, flash goes to
the ones that most is asked of for each byte. One that stands on flash stays there until another is
asked for `STAY` times as much: a move costs flash writes, and two titles of like demand would change
places every day.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf

from sluice_appliance.fill.policy import Priority
from sluice_appliance.fill.shelves import Shelf, Tier
from sluice_appliance.fill.survey import Standing

STAY = 2.0


@dataclass(frozen=True, slots=True)
class Taken:
    """Titles to hold with the shelf of each, and those without room, both the most important first."""

    titles: Sequence[tuple[Standing, int]]
    without_room: Sequence[Standing]


def take(standings: Sequence[Standing], shelves: Sequence[Shelf]) -> Taken:
    """`standings` in the manifest's order; more urgent ones are more important."""
    if any(standing.title.priority is not Priority.NORMAL for standing in standings):
        standings = sorted(standings, key=lambda standing: -standing.title.priority)
    fitting: list[int] = []
    left_bytes = sum(shelf.capacity_bytes for shelf in shelves)
    for i, standing in enumerate(standings):
        needs = standing.movable_bytes
        if needs <= left_bytes:
            left_bytes -= needs
            fitting.append(i)
    if len(shelves) == 1:
        place = dict.fromkeys(fitting, 0)
    else:
        place = _spread({i: standings[i] for i in fitting}, shelves)
    return Taken(
        [(standing, place[i]) for i, standing in enumerate(standings) if i in place],
        [standing for i, standing in enumerate(standings) if i not in place],
    )


def _spread(fitting: Mapping[int, Standing], shelves: Sequence[Shelf]) -> dict[int, int]:
    """The shelf of each; a few may find no room on either, though both together had it."""
    fast, slow = 0, len(shelves) - 1
    left = [shelf.capacity_bytes for shelf in shelves]
    place: dict[int, int] = {}

    def put(i: int, shelf: int) -> bool:
        if fits := fitting[i].movable_bytes <= left[shelf]:
            left[shelf] -= fitting[i].movable_bytes
            place[i] = shelf
        return fits

    pulls = {i: _pull(standing, shelves) for i, standing in fitting.items()}
    for i in sorted(fitting, key=lambda i: -pulls[i]):
        if pulls[i] > 0 or fitting[i].home == fast:
            put(i, fast)
    for i in fitting:
        if i not in place and not put(i, slow):
            put(i, fast)
    return place


def _pull(standing: Standing, shelves: Sequence[Shelf]) -> float:
    """How strongly flash pulls the title: demand for each byte, more where it stands there already.
    What has begun to come goes on where it began."""
    home, title = standing.home, standing.title
    if standing.missing and home is not None:
        return inf if shelves[home].tier is Tier.SSD else 0.0
    density = title.demand_bytes_per_s / (title.size_bytes or 1)
    return density * STAY if home == 0 else density
