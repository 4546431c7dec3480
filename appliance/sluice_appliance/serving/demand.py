"""Which objects are asked for most of late: what is drained of the workers' popularity, fading with time.

Each hit counts half after each half-life. Nothing is touched to make it fade: a new hit counts for more
than an old one (forward decay; Cormode and others, "Forward Decay: A Practical Time Decay Model", 2009),
and what is told is divided by what a hit counts now.
"""

import heapq
import math
from collections.abc import Mapping
from dataclasses import dataclass

from sluice_appliance.serving.popularity import Hits

HALF_LIFE_S = 600.0
# Objects remembered, at some 300 bytes each. Where there are more, the less asked for half is forgotten.
KEYS_MAX = 50_000
# What a hit may count for before all is divided by it, well within a float.
_WEIGHT_MAX = 2.0**64


@dataclass(frozen=True, slots=True)
class Wanted:
    """How much an object is asked for, as a rate over about the last half-life."""

    key: str
    requests_per_s: float
    bytes_per_s: float


class ObjectDemand:
    """Begins at `now`, in the seconds of a clock that only goes forward."""

    def __init__(self, now: float, *, half_life_s: float = HALF_LIFE_S, keys_max: int = KEYS_MAX):
        self._half_life_s = half_life_s
        self._keys_max = keys_max
        self._since = now
        # (hits, bytes) of each key, as they count at `_since`.
        self._score: dict[str, tuple[float, float]] = {}

    def add(self, fresh: Mapping[str, Hits], now: float) -> None:
        """What was counted until `now` and not told before."""
        weight = self._weight(now)
        if weight > _WEIGHT_MAX:
            self._score = {key: (h / weight, b / weight) for key, (h, b) in self._score.items()}
            self._since, weight = now, 1.0
        for key, new in fresh.items():
            hits, sent_bytes = self._score.get(key, (0.0, 0.0))
            self._score[key] = (hits + new.hits * weight, sent_bytes + new.sent_bytes * weight)
        if len(self._score) > self._keys_max:
            self._score = dict(self._most(self._keys_max // 2))

    def top(self, count: int, now: float) -> list[Wanted]:
        """The `count` objects with most requests, the first first."""
        # A steady rate r comes to r * half-life / ln 2.
        per_s = math.log(2) / self._half_life_s / self._weight(now)
        return [
            Wanted(key, hits * per_s, sent_bytes * per_s)
            for key, (hits, sent_bytes) in self._most(count)
        ]

    def __len__(self) -> int:
        return len(self._score)

    def _weight(self, now: float) -> float:
        return float(2.0 ** min((now - self._since) / self._half_life_s, 1000.0))

    def _most(self, count: int) -> list[tuple[str, tuple[float, float]]]:
        return heapq.nlargest(count, self._score.items(), key=lambda item: item[1])
