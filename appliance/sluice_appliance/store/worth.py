"""How much a block will be asked for, judged from how often it and its neighbours were asked for of late.

A box sees few requests for most blocks, so that a count for each says little: 0, 1 or 2. But a viewer who watches
one segment of a film watches those around it, so the blocks of one run (a rendition, or the blocks of one
large object) are judged together, a stretch at a time: thirty-two blocks say in a day what
one says in a month. Who asks for a title in one rendition tells that others will in another; so its title counts too. A block
that nobody asked for yet is worth what its neighbours are, which is what lets it be written at its first
request, while the viewers behind come nearer. Where names tell of no run, a block is judged by itself.

Each request counts half after each half-life. Nothing is touched for that: later requests count for
more, and what is told is divided by what one counts now (forward decay; Cormode and others, "Forward Decay: A
Practical Time Decay Model", 2009).

Cost: some 260 bytes a key, its name and its share of neighbours included.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import NamedTuple

# Of 12 hours and a day, the day misses less and writes a third less (tests/benchmarks/store, VOD trace).
HALF_LIFE_S = 86_400.0
# Some minutes of video: viewers leave slowly, and one block of a stretch is like the next.
STRETCH_BLOCKS = 32
# How much of a block's worth its own requests say; the rest is the mean of its stretch. The mean of the
# title comes on top.
OWN_SHARE = 0.3
# Of a title with few known blocks most were not asked for, and a few say little.
TITLE_BLOCKS_MIN = 100
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


class Worth:
    """Begins at `now`. Remembers `keys_max` keys; of more, those longest not asked for are forgotten."""

    __slots__ = (
        "_half_life_s",
        "_keys",
        "_keys_max",
        "_since",
        "_stretches",
        "_titles",
        "forgotten",
    )

    def __init__(self, now: float, *, keys_max: int, half_life_s: float = HALF_LIFE_S):
        self.forgotten = 0
        self._half_life_s = half_life_s
        self._keys_max = keys_max
        self._since = now
        # The longest not asked for first.
        self._keys: OrderedDict[str, _Remembered] = OrderedDict()
        # They live as long as a key of theirs is remembered, so they are not more than the keys.
        self._stretches: dict[tuple[str, int], _Neighbours] = {}
        self._titles: dict[str, _Neighbours] = {}

    def asked(self, key: str, now: float) -> None:
        """One request for it."""
        weight = self._weight(now)
        if weight > _WEIGHT_MAX:
            self._divide(weight, now)
            weight = 1.0
        self._add(key, weight)

    def of(self, key: str, now: float) -> float:
        """Requests in about the last half-life, as its own and its stretch's tell; 0 if it is not known."""
        return self.teller(now)(key)

    def teller(self, now: float) -> Callable[[str], float]:
        """`of` at `now`, for many keys."""
        keys, weight = self._keys, self._weight(now)

        def of(key: str) -> float:
            known = keys.get(key)
            return 0.0 if known is None else known.count() / weight

        return of

    def counts(self, now: float) -> tuple[Count, ...]:
        """All that is remembered, the longest not asked for first."""
        weight = self._weight(now)
        return tuple(Count(key, each.own / weight) for key, each in self._keys.items())

    def resume(self, counts: Iterable[Count], now: float) -> None:
        """Adds what a snapshot held; the time since then counts as none."""
        weight = self._weight(now)
        for each in counts:
            self._add(each.key, each.requests * weight)

    def __len__(self) -> int:
        return len(self._keys)

    @property
    def neighbourhoods(self) -> int:
        """Stretches and titles: of each no more than keys."""
        return len(self._stretches) + len(self._titles)

    def _add(self, key: str, count: float) -> None:
        known = self._keys.get(key)
        if known is None:
            known = self._keys[key] = self._first_seen(key)
            if len(self._keys) > self._keys_max:
                self._forget_one()
        else:
            self._keys.move_to_end(key)
        known.own += count
        if known.stretch is not None and known.title is not None:
            known.stretch.count += count
            known.title.count += count

    def _first_seen(self, key: str) -> "_Remembered":
        place = place_of(key)
        if place is None:
            return _Remembered(None, None)
        stretch_name = place.run, place.number // STRETCH_BLOCKS
        stretch = self._stretches.setdefault(stretch_name, _Neighbours())
        title = self._titles.setdefault(_title_of(key), _Neighbours())
        stretch.keys += 1
        title.keys += 1
        return _Remembered(stretch, title)

    def _forget_one(self) -> None:
        """What was asked for it was still asked for its neighbours: only the name is forgotten."""
        key, gone = self._keys.popitem(last=False)
        self.forgotten += 1
        place = place_of(key)
        if place is None or gone.stretch is None or gone.title is None:
            return
        gone.stretch.keys -= 1
        gone.title.keys -= 1
        if not gone.stretch.keys:
            del self._stretches[place.run, place.number // STRETCH_BLOCKS]
        if not gone.title.keys:
            del self._titles[_title_of(key)]

    def _weight(self, now: float) -> float:
        return float(2.0 ** min((now - self._since) / self._half_life_s, 1000.0))

    def _divide(self, weight: float, now: float) -> None:
        """All at once, but only each 512 half-lives."""
        for known in self._keys.values():
            known.own /= weight
        for each in (*self._stretches.values(), *self._titles.values()):
            each.count /= weight
        self._since = now


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


def _title_of(key: str) -> str:
    return key.partition("/")[0]


class _Neighbours:
    """Those of a stretch, or of a title."""

    __slots__ = ("count", "keys")

    def __init__(self) -> None:
        self.count = 0.0
        # Those remembered.
        self.keys = 0


class _Remembered:
    __slots__ = ("own", "stretch", "title")

    def __init__(self, stretch: _Neighbours | None, title: _Neighbours | None):
        self.own = 0.0
        self.stretch = stretch
        self.title = title

    def count(self) -> float:
        stretch, title = self.stretch, self.title
        if stretch is None or title is None:
            return self.own
        return (
            OWN_SHARE * self.own
            + (1 - OWN_SHARE) / STRETCH_BLOCKS * stretch.count
            + title.count / max(title.keys, TITLE_BLOCKS_MIN)
        )
