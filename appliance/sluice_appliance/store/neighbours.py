"""Which blocks are judged together: stretches of a run, runs of a title, and runs that are called alike.

A run is a rendition, or the blocks of one large object; a stretch of it is thirty-two blocks; a rung is what a run is called
without its title, `v1/720p/` of `film/v1/720p/17.m4s`, which many titles have. Here is only what belongs to what, and
for how long: all that a remembered key belongs to lives as long as one of its keys is remembered, so that of
each kind there are no more than keys.
"""

from typing import NamedTuple

from sluice_appliance.store.viewers import Viewers

# Some minutes of video: viewers leave slowly, and one block of a stretch is like the next.
STRETCH_BLOCKS = 32
# A longer number is a digest or a date, and counts nothing.
INDEX_DIGITS_MAX = 9


class Place(NamedTuple):
    run: str
    number: int


def place_of(key: str) -> Place | None:
    """`film/v1/720p/seg-17.m4s` is block 17 of a run, and so is `film/v1/720p.mp4#17`, block 17 of an object.
    A file's name that ends in no number before its first dot is in no run."""
    folder, slash, name = key.rpartition("/")
    stem = name if "#" in name else name.partition(".")[0]
    run = stem.rstrip("0123456789")
    number = stem[len(run) :]
    if not 0 < len(number) <= INDEX_DIGITS_MAX:
        return None
    return Place(folder + slash + run, int(number))


class Rung:
    """What is asked for of all runs that are called alike; also of all runs."""

    __slots__ = ("count", "keys", "runs")

    def __init__(self) -> None:
        # Requests, weighed.
        self.count = 0.0
        # Those remembered.
        self.keys = 0
        self.runs = 0


class Title:
    __slots__ = ("born", "count", "keys")

    def __init__(self, born: float):
        self.count = 0.0
        self.keys = 0
        # What a request counted when it was first seen.
        self.born = born


class Run:
    __slots__ = ("keys", "rung", "title", "viewers")

    def __init__(self, title: Title, rung: Rung):
        self.title = title
        self.rung = rung
        self.viewers = Viewers()
        self.keys = 0


class Stretch:
    __slots__ = ("count", "keys", "run")

    def __init__(self, run: Run):
        self.count = 0.0
        self.keys = 0
        self.run = run


class Neighbours:
    """Of all keys that are remembered."""

    __slots__ = ("_rungs", "_runs", "_stretches", "_titles", "all")

    def __init__(self) -> None:
        self.all = Rung()
        self._stretches: dict[tuple[str, int], Stretch] = {}
        self._runs: dict[str, Run] = {}
        self._titles: dict[str, Title] = {}
        self._rungs: dict[str, Rung] = {}

    def join(self, place: Place, born: float) -> Stretch:
        """One more key is remembered. `born`: of its title, if that is new."""
        name = place.run, place.number // STRETCH_BLOCKS
        stretch = self._stretches.get(name)
        if stretch is None:
            run = self._runs.get(place.run) or self._first_of_run(place.run, born)
            stretch = self._stretches[name] = Stretch(run)
        for each in (stretch, stretch.run, stretch.run.title, stretch.run.rung, self.all):
            each.keys += 1
        return stretch

    def leave(self, place: Place) -> None:
        """One of them is forgotten. What was asked for it was still asked for its neighbours."""
        name = place.run, place.number // STRETCH_BLOCKS
        stretch = self._stretches[name]
        run = stretch.run
        for each in (stretch, run, run.title, run.rung, self.all):
            each.keys -= 1
        title_name, rung_name = _title_and_rung(place.run)
        if not stretch.keys:
            del self._stretches[name]
        if not run.keys:
            del self._runs[place.run]
            run.rung.runs -= 1
        if not run.title.keys:
            del self._titles[title_name]
        if not run.rung.keys:
            del self._rungs[rung_name]

    def divide(self, weight: float) -> None:
        """All counts by one number."""
        for stretch in self._stretches.values():
            stretch.count /= weight
        for rung in (*self._rungs.values(), self.all):
            rung.count /= weight
        for title in self._titles.values():
            title.count /= weight
            title.born /= weight

    def __len__(self) -> int:
        return len(self._stretches) + len(self._runs) + len(self._titles) + len(self._rungs)

    def _first_of_run(self, name: str, born: float) -> Run:
        title_name, rung_name = _title_and_rung(name)
        title = self._titles.get(title_name)
        if title is None:
            title = self._titles[title_name] = Title(born)
        rung = self._rungs.setdefault(rung_name, Rung())
        rung.runs += 1
        run = self._runs[name] = Run(title, rung)
        return run


def _title_and_rung(run: str) -> tuple[str, str]:
    title, _, rung = run.partition("/")
    return title, rung
