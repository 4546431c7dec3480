"""A catalog whose films rise and fall: Zipf popularity that drifts by the day, and new releases.

Everything follows from one seed. Films have ten objects (renditions and sound), long ones larger ones.
"""

import random
from dataclasses import dataclass, replace

from sluice_appliance.fill.manifest import WantedTitle
from sluice_appliance.fill.policy import Priority
from sluice_appliance.object_key import parse_key
from sluice_appliance.store.layout import ObjectHeader

OBJECTS = 10
# Shares of a film's bytes, from the best picture to the sound.
_SHARES = (30, 22, 15, 11, 8, 5, 4, 2, 2, 1)
_NEW_DAYS = 3
_ZIPF = 0.9
# What a region asks of the whole catalog.
_DEMAND_BYTES_PER_S = 2e9


@dataclass(frozen=True, slots=True)
class Film:
    wanted: WantedTitle
    popularity: float
    released_on: int


class Catalog:
    """`films` films; a hundredth of them, the least asked for, are replaced each day."""

    def __init__(self, films: int, rng: random.Random) -> None:
        self._rng = rng
        self._made = 0
        self._day = 0
        self._films = [self._film((rank + 1) ** -_ZIPF, -100) for rank in range(films)]

    def wanted(self) -> list[WantedTitle]:
        """In order of demand for each byte, as the control plane orders manifests."""
        total = sum(film.popularity for film in self._films)
        titles = [self._with_demand(film, total) for film in self._films]
        return sorted(titles, key=lambda one: (-one.demand_bytes_per_s / one.size_bytes, one.title))

    def next_day(self) -> None:
        """Popularity drifts by a tenth or so; new films come in the upper quarter."""
        self._day += 1
        drifted = [
            replace(film, popularity=film.popularity * self._rng.lognormvariate(-0.02, 0.1))
            for film in self._films
        ]
        drifted.sort(key=lambda film: -film.popularity)
        count = max(1, len(drifted) // 100)
        places = [drifted[self._rng.randrange(len(drifted) // 4)] for _ in range(count)]
        new = [self._film(place.popularity, self._day) for place in places]
        self._films = drifted[:-count] + new

    def _film(self, popularity: float, released_on: int) -> Film:
        self._made += 1
        name = f"film-{self._made}"
        size_bytes = self._rng.randint(1_000_000_000, 8_000_000_000)
        objects = tuple(
            ObjectHeader(
                parse_key(f"{name}/v1/{i}.mp4"),
                size_bytes * share // 100,
                self._rng.randbytes(32),
                "video/mp4",
            )
            for i, share in enumerate(_SHARES)
        )
        return Film(WantedTitle(f"titles/{name}", "v1", objects), popularity, released_on)

    def _with_demand(self, film: Film, total: float) -> WantedTitle:
        is_new = self._day - film.released_on < _NEW_DAYS
        return replace(
            film.wanted,
            demand_bytes_per_s=_DEMAND_BYTES_PER_S * film.popularity / total,
            priority=Priority.NEW_RELEASE if is_new else Priority.NORMAL,
        )
