"""Requests to keep bytes by, drawn with a seed: video on demand, and three shapes of public traces.

Only `random.Random.random` is drawn from, whose sequence for a seed Python keeps over versions. No figure is
of anybody's viewers: the shapes are those that the literature agrees on, and each number is a
parameter below, so that whoever has better ones can say so.
"""

import bisect
import itertools
import math
import random
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

DAY_S = 86_400.0
MB = 1_000_000


@dataclass(frozen=True, slots=True)
class Trace:
    """Request `n` is for `keys[at[n]]`, whole, `time_s[n]` seconds after the first day began."""

    name: str
    keys: Sequence[str]
    size_bytes: Sequence[int]
    time_s: "array[float]" = field(repr=False)
    at: "array[int]" = field(repr=False)

    def footprint_bytes(self) -> int:
        """Of all keys that are asked for at all."""
        return sum(self.size_bytes[each] for each in set(self.at))

    def requested_bytes(self) -> int:
        return sum(self.size_bytes[each] for each in self.at)


@dataclass(frozen=True, slots=True)
class Viewing:
    """Video on demand, as an appliance in a provider sees it."""

    seed: int = 1
    days: int = 8
    titles: int = 250
    sessions_per_day: int = 600
    # Of title ranks. Films and series are found between 0.6 and 1.0; below 1 the tail weighs more.
    zipf: float = 0.85
    # Each day a title's popularity is multiplied by e to a normal of this deviation.
    drift_per_day: float = 0.25
    # Of the catalogue, titles that come out while the trace runs, one after the other.
    new_share: float = 0.2
    # A new title is asked for so many times as much as its rank says, and half of that each half-life.
    new_boost: float = 8.0
    new_half_life_days: float = 1.5
    # Minutes of a title: half are episodes, half are films.
    episode_minutes: tuple[float, float] = (20.0, 55.0)
    film_minutes: tuple[float, float] = (80.0, 130.0)
    # An episode that was watched to its end is followed by the next.
    next_episode: float = 0.5
    # Renditions: MB of a segment, and how many sessions begin in it.
    renditions: tuple[tuple[float, float], ...] = ((1.0, 0.1), (2.5, 0.3), (5.0, 0.45), (8.0, 0.15))
    segment_s: float = 16.0
    # Sessions that begin somewhere in the middle: they go on from another evening, or seek.
    resumed: float = 0.15
    # Of each segment: to leave in the first minutes, to leave later, to go to another rendition.
    quit_early: float = 0.035
    quit_late: float = 0.004
    early_segments: int = 12
    switch: float = 0.004
    # Arrivals by the hour of the day go as 1 + this times a cosine that is highest at 21:00.
    diurnal: float = 0.85
    peak_hour: float = 21.0


# For tests, and to see that a benchmark works.
SMALL = Viewing(days=3, titles=50, sessions_per_day=120)


def viewing_trace(shape: Viewing = Viewing()) -> Trace:
    """Sessions that watch segments in order, each as long as a segment plays, and quit."""
    rng = random.Random(shape.seed)
    catalogue = _Catalogue(shape, rng)
    asked: list[tuple[float, int]] = []
    for day in range(shape.days):
        popularity = catalogue.popularity(day)
        for _ in range(shape.sessions_per_day):
            title = bisect.bisect(popularity, rng.random() * popularity[-1])
            begins = (day + _hour(shape, rng) / 24) * DAY_S
            asked.extend(_session(shape, rng, catalogue, title, begins))
    asked.sort()
    end = shape.days * DAY_S
    asked = [each for each in asked if each[0] < end]
    return Trace(
        "vod",
        catalogue.keys,
        catalogue.size_bytes,
        array("d", (when for when, _ in asked)),
        array("l", (key for _, key in asked)),
    )


class _Catalogue:
    """The titles, their segments' keys and sizes, and how popular each is on a day."""

    def __init__(self, shape: Viewing, rng: random.Random):
        self._shape = shape
        self._rng = rng
        count = shape.titles
        ranks = list(range(1, count + 1))
        _shuffle(ranks, rng)
        self._weight = [rank**-shape.zipf for rank in ranks]
        new = int(count * shape.new_share)
        # Titles come out at even times; the others were there before.
        self._released = [-math.inf] * (count - new) + [
            shape.days * (n + 1) / (new + 1) for n in range(new)
        ]
        self.is_episode = [rng.random() < 0.5 for _ in range(count)]
        self.segments: list[int] = []
        self.first: list[int] = []
        self.keys: list[str] = []
        self.size_bytes: list[int] = []
        for title in range(count):
            self._add(title)

    def _add(self, title: int) -> None:
        shape, rng = self._shape, self._rng
        low, high = shape.episode_minutes if self.is_episode[title] else shape.film_minutes
        segments = int((low + (high - low) * rng.random()) * 60 / shape.segment_s)
        self.segments.append(segments)
        self.first.append(len(self.keys))
        for number, (megabytes, _) in enumerate(shape.renditions):
            for segment in range(segments):
                self.keys.append(f"title-{title}/r{number}/{segment}.m4s")
                # Segments of a rendition differ in size as scenes do.
                self.size_bytes.append(int(megabytes * MB * (0.8 + 0.4 * rng.random())))

    def popularity(self, day: int) -> list[float]:
        """Running sums over the titles, for a draw by `bisect`. Drifts by one day."""
        shape, rng = self._shape, self._rng
        now: list[float] = []
        for title, released in enumerate(self._released):
            self._weight[title] *= math.exp(shape.drift_per_day * _normal(rng))
            age = day - released
            is_old = math.isinf(released)
            boost = 0.0 if is_old else shape.new_boost * 0.5 ** (age / shape.new_half_life_days)
            now.append(0.0 if age < 0 else self._weight[title] * (1 + boost))
        return list(itertools.accumulate(now))


def _session(
    shape: Viewing, rng: random.Random, catalogue: _Catalogue, title: int, begins: float
) -> Iterator[tuple[float, int]]:
    rendition = _rendition(shape, rng)
    segments = catalogue.segments[title]
    segment = int(rng.random() * segments) if rng.random() < shape.resumed else 0
    watched = 0
    while True:
        yield (
            begins + watched * shape.segment_s,
            (catalogue.first[title] + rendition * segments + segment),
        )
        watched += 1
        segment += 1
        if rng.random() < (shape.quit_early if watched < shape.early_segments else shape.quit_late):
            return
        if rng.random() < shape.switch:
            rendition = _rendition(shape, rng)
        if segment < segments:
            continue
        title += 1
        if title >= shape.titles or not catalogue.is_episode[title - 1]:
            return
        if not catalogue.is_episode[title] or rng.random() >= shape.next_episode:
            return
        segment, segments = 0, catalogue.segments[title]


def _rendition(shape: Viewing, rng: random.Random) -> int:
    drawn = rng.random()
    for number, (_, share) in enumerate(shape.renditions):
        drawn -= share
        if drawn < 0:
            return number
    return len(shape.renditions) - 1


def _hour(shape: Viewing, rng: random.Random) -> float:
    while True:
        hour = 24 * rng.random()
        level = 1 + shape.diurnal * math.cos((hour - shape.peak_hour) / 24 * math.tau)
        if rng.random() * (1 + shape.diurnal) < level:
            return hour


@dataclass(frozen=True, slots=True)
class Web:
    """A web cache's requests: no order among keys, sizes over three powers of ten."""

    seed: int = 1
    requests: int = 200_000
    keys: int = 30_000
    zipf: float = 0.9
    days: float = 3.0
    # Sizes are e to a normal: the median, and the deviation of the logarithm.
    median_bytes: float = 60_000.0
    size_sigma: float = 1.6
    # Requests for keys that nobody asks for again.
    one_hit_share: float = 0.0
    # So many times a day, `scan_keys` others are read one after the other, as a crawler or a backup does.
    scans_per_day: float = 0.0
    scan_keys: int = 2_000


def web_trace(name: str, shape: Web) -> Trace:
    rng = random.Random(shape.seed)
    sums = list(itertools.accumulate(rank**-shape.zipf for rank in range(1, shape.keys + 1)))
    order = list(range(shape.keys))
    _shuffle(order, rng)
    keys = [_name(n) for n in range(shape.keys + shape.scan_keys)]
    sizes = [_size(shape, rng) for _ in keys]
    step = shape.days * DAY_S / shape.requests
    time_s, at = array("d"), array("l")
    scans = 0
    for n in range(shape.requests):
        now = n * step
        if now * shape.scans_per_day / DAY_S > scans:
            scans += 1
            time_s.extend(now for _ in range(shape.scan_keys))
            at.extend(range(shape.keys, shape.keys + shape.scan_keys))
        if rng.random() < shape.one_hit_share:
            at.append(len(keys))
            keys.append(_name(len(keys)))
            sizes.append(_size(shape, rng))
        else:
            at.append(order[bisect.bisect(sums, rng.random() * sums[-1])])
        time_s.append(now)
    return Trace(name, keys, sizes, time_s, at)


ORDINARY = {
    "web": Web(),
    "scans": Web(seed=2, scans_per_day=6.0),
    "one-hit": Web(seed=3, one_hit_share=0.5),
}


def _name(number: int) -> str:
    """Letters alone, unlike those of its neighbours: nothing is to be told from a name."""
    mixed = number * 2_654_435_761 % 2**32
    return "w/" + "".join(chr(97 + (mixed >> shift) % 16) for shift in range(0, 32, 4))


def _size(shape: Web, rng: random.Random) -> int:
    size = shape.median_bytes * math.exp(shape.size_sigma * _normal(rng))
    return int(min(max(size, 500.0), 20.0 * MB))


def _normal(rng: random.Random) -> float:
    return math.sqrt(-2 * math.log(1 - rng.random())) * math.cos(math.tau * rng.random())


def _shuffle(items: list[int], rng: random.Random) -> None:
    for last in range(len(items) - 1, 0, -1):
        other = int(rng.random() * (last + 1))
        items[last], items[other] = items[other], items[last]
