"""How much a block will be asked for, judged from how often it and its neighbours were asked for of late.

A box sees few requests for most blocks, so that a count for each says little: 0, 1 or 2. But a viewer who watches
one segment of a film watches those around it, so the blocks of one run (a rendition, or the blocks of one
large object) are judged together, a stretch at a time: thirty-two blocks say in a day what
one says in a month. Who asks for a title in one rendition tells that others will in another, more so in one that
most titles are watched in (a rung: what the run is called without its title); so its title counts too. A title
that came out yesterday was not asked for as long as the others, and what was asked for it says more. A block
that nobody asked for yet is worth what its neighbours are, which is what lets it be written at its first
request; and who is on the way to it will ask for it soon (`viewers.py`). Where names tell of no run, a block is
judged by itself.

Each request counts half after each half-life. Nothing is touched for that: later requests count for
more, and what is told is divided by what one counts now (forward decay; Cormode and others, "Forward Decay: A
Practical Time Decay Model", 2009).

Cost: some 260 bytes a key, its name and its share of neighbours included.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import NamedTuple

from sluice_appliance.store.viewers import Viewers

# Of half a day, a day and two, a day misses least or next to least on each of the seeds that are for choosing
# (tests/benchmarks/store, VOD trace); half a day writes a quarter more.
HALF_LIFE_S = 86_400.0
# Some minutes of video: viewers leave slowly, and one block of a stretch is like the next.
STRETCH_BLOCKS = 32
# How much of a block's worth its own requests say; the rest is the mean of its stretch. The mean of the
# title comes on top.
OWN_SHARE = 0.3
# Of a title with few known blocks most were not asked for, and a few say little.
TITLE_BLOCKS_MIN = 100
# How much of the title's mean, as its rung makes of it, comes on top: a title is watched by all who watch one
# of its stretches, and by others.
TITLE_SHARE = 2.0
# Of so many titles a rung has to be known before it is told what of them is asked for on it.
RUNG_RUNS_MIN = 8
# A title that came lately was not asked for as long as the others; so its count is divided by the share of
# it that there can be. So much is added to both, lest one viewer makes a success: at 1, it counts twice at most.
YOUNG = 1.0
# What a request may count for before all is divided by it, well within a float.
_WEIGHT_MAX = 2.0**512
# A longer number is a digest or a date, and counts nothing.
INDEX_DIGITS_MAX = 9


class Place(NamedTuple):
    run: str
    number: int


class Count(NamedTuple):
    """Of one key, for a snapshot: requests as they count now."""

    key: str
    requests: float
    # Of all that would count of its title had it been there for ever: 1 for an old one.
    known_share: float = 1.0


class Worth:
    """Begins at `now`. Remembers `keys_max` keys; of more, those longest not asked for are forgotten."""

    __slots__ = (
        "_all",
        "_half_life_s",
        "_keys",
        "_keys_max",
        "_rungs",
        "_runs",
        "_since",
        "_stretches",
        "_titles",
        "_weighed_at",
        "_weighs",
        "forgotten",
    )

    def __init__(self, now: float, *, keys_max: int, half_life_s: float = HALF_LIFE_S):
        self.forgotten = 0
        self._half_life_s = half_life_s
        self._keys_max = keys_max
        self._since = now
        # What a request counts now, and when that was worked out.
        self._weighed_at, self._weighs = now, 1.0
        # The longest not asked for first.
        self._keys: OrderedDict[str, Known] = OrderedDict()
        # They live as long as a key of theirs is remembered, so of each kind there are no more than keys.
        self._stretches: dict[tuple[str, int], _Stretch] = {}
        self._runs: dict[str, _Run] = {}
        self._titles: dict[str, _Title] = {}
        self._rungs: dict[str, _Neighbours] = {}
        self._all = _Neighbours()

    def asked(self, key: str, now: float) -> "Known":
        """One request for it; what is known of it then."""
        weight = self._weight(now)
        if weight > _WEIGHT_MAX:
            self._divide(weight, now)
            weight = 1.0
        known = self._keys.get(key)
        if known is None:
            known = self._first_seen(key, weight)
        else:
            self._keys.move_to_end(key)
        self._add(known, weight)
        if known.stretch is not None:
            known.stretch.run.viewers.asked(known.number, now)
        return known

    def of(self, key: str, now: float) -> float:
        """Requests in about a half-life, as its own and its neighbours' tell, and those of viewers on
        their way; 0 if it is not known."""
        return self.teller(now)(key)

    def known(self, known: "Known", now: float) -> float:
        """`of` what `asked` gave."""
        return self._lasting(known, self._weight(now)) + known.coming(now)

    def is_awaited(self, key: str, now: float) -> bool:
        """Whether a viewer is on the way to it."""
        known = self._keys.get(key)
        return known is not None and known.coming(now) > 0

    def teller(self, now: float) -> Callable[[str], float]:
        """`of` at `now`, for many keys."""
        keys, weight, lasting = self._keys, self._weight(now), self._lasting

        def of(key: str) -> float:
            known = keys.get(key)
            return 0.0 if known is None else lasting(known, weight) + known.coming(now)

        return of

    def counts(self, now: float) -> tuple[Count, ...]:
        """All that is remembered, the longest not asked for first."""
        weight = self._weight(now)
        return tuple(
            Count(key, each.own / weight, each.known_share(weight))
            for key, each in self._keys.items()
        )

    def resume(self, counts: Iterable[Count], now: float) -> None:
        """Adds what a snapshot held; the time since then counts as none, and nobody is on the way."""
        weight = self._weight(now)
        for each in counts:
            known = self._keys.get(each.key)
            if known is None:
                known = self._first_seen(each.key, weight * (1 - each.known_share))
            self._add(known, each.requests * weight)

    def __len__(self) -> int:
        return len(self._keys)

    @property
    def neighbourhoods(self) -> int:
        """Stretches, runs, titles and rungs: of each no more than keys."""
        return len(self._stretches) + len(self._runs) + len(self._titles) + len(self._rungs)

    def _lasting(self, known: "Known", weight: float) -> float:
        stretch = known.stretch
        if stretch is None:
            return known.own / weight
        run = stretch.run
        title, rung, every = run.title, run.rung, self._all
        beside = 1.0
        if rung.runs >= RUNG_RUNS_MIN and every.count > 0:
            beside = (rung.count * every.keys) / (rung.keys * every.count)
        count = (
            OWN_SHARE * known.own
            + (1 - OWN_SHARE) / STRETCH_BLOCKS * stretch.count
            + TITLE_SHARE * beside * title.count / max(title.keys, TITLE_BLOCKS_MIN)
        )
        can_count = max(0.0, 1 - title.born / weight)
        return count / weight * (1 + YOUNG) / (can_count + YOUNG)

    def _add(self, known: "Known", count: float) -> None:
        known.own += count
        stretch = known.stretch
        if stretch is not None:
            stretch.count += count
            stretch.run.title.count += count
            stretch.run.rung.count += count
            self._all.count += count

    def _first_seen(self, key: str, born: float) -> "Known":
        place = place_of(key)
        if place is None:
            known = Known(0, None)
        else:
            stretch = self._stretch(place, born)
            for each in (stretch, stretch.run, stretch.run.title, stretch.run.rung, self._all):
                each.keys += 1
            known = Known(place.number, stretch)
        self._keys[key] = known
        if len(self._keys) > self._keys_max:
            self._forget_one()
        return known

    def _stretch(self, place: Place, born: float) -> "_Stretch":
        name = place.run, place.number // STRETCH_BLOCKS
        stretch = self._stretches.get(name)
        if stretch is None:
            run = self._runs.get(place.run) or self._first_of_run(place.run, born)
            stretch = self._stretches[name] = _Stretch(run)
        return stretch

    def _first_of_run(self, name: str, born: float) -> "_Run":
        title_name, rung_name = _title_and_rung(name)
        title = self._titles.get(title_name)
        if title is None:
            title = self._titles[title_name] = _Title(born)
        rung = self._rungs.setdefault(rung_name, _Neighbours())
        rung.runs += 1
        run = self._runs[name] = _Run(title, rung)
        return run

    def _forget_one(self) -> None:
        """What was asked for it was still asked for its neighbours: only the name is forgotten."""
        key, gone = self._keys.popitem(last=False)
        self.forgotten += 1
        place = place_of(key)
        if place is None or gone.stretch is None:
            return
        stretch, run = gone.stretch, gone.stretch.run
        title_name, rung_name = _title_and_rung(place.run)
        for each in (stretch, run, run.title, run.rung, self._all):
            each.keys -= 1
        if not stretch.keys:
            del self._stretches[place.run, place.number // STRETCH_BLOCKS]
        if not run.keys:
            del self._runs[place.run]
            run.rung.runs -= 1
        if not run.title.keys:
            del self._titles[title_name]
        if not run.rung.keys:
            del self._rungs[rung_name]

    def _weight(self, now: float) -> float:
        if now != self._weighed_at:
            self._weighed_at = now
            self._weighs = 2.0 ** min((now - self._since) / self._half_life_s, 1000.0)
        return self._weighs

    def _divide(self, weight: float, now: float) -> None:
        """All at once, but only each 512 half-lives."""
        for known in self._keys.values():
            known.own /= weight
        for stretch in self._stretches.values():
            stretch.count /= weight
        for rung in (*self._rungs.values(), self._all):
            rung.count /= weight
        for title in self._titles.values():
            title.count /= weight
            title.born /= weight
        self._since = now
        self._weighed_at, self._weighs = now, 1.0


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


def _title_and_rung(run: str) -> tuple[str, str]:
    title, _, rung = run.partition("/")
    return title, rung


class _Neighbours:
    """Those of a rung, or all."""

    __slots__ = ("count", "keys", "runs")

    def __init__(self) -> None:
        self.count = 0.0
        # Those remembered.
        self.keys = 0
        self.runs = 0


class _Title:
    __slots__ = ("born", "count", "keys")

    def __init__(self, born: float):
        self.count = 0.0
        self.keys = 0
        # What a request counted when it was first seen.
        self.born = born


class _Run:
    __slots__ = ("keys", "rung", "title", "viewers")

    def __init__(self, title: _Title, rung: _Neighbours):
        self.title = title
        self.rung = rung
        self.viewers = Viewers()
        self.keys = 0


class _Stretch:
    __slots__ = ("count", "keys", "run")

    def __init__(self, run: _Run):
        self.count = 0.0
        self.keys = 0
        self.run = run


class Known:
    """What is remembered of one key."""

    __slots__ = ("number", "own", "stretch")

    def __init__(self, number: int, stretch: _Stretch | None):
        self.own = 0.0
        self.number = number
        self.stretch = stretch

    def coming(self, now: float) -> float:
        """Viewers on their way to it."""
        stretch = self.stretch
        return 0.0 if stretch is None else stretch.run.viewers.coming(self.number, now)

    def known_share(self, weight: float) -> float:
        return 1.0 if self.stretch is None else 1 - self.stretch.run.title.born / weight
