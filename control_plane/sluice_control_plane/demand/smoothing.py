"""What players of one site take of each title version, smoothed over days. Pure.

A byte counts half after each half-life. Nothing is touched to make it fade: a new byte counts for more
than an old one (forward decay; Cormode and others, "Forward Decay: A Practical Time Decay Model", 2009),
and what is told is divided by what a byte counts now.
"""

import heapq
import math
from collections.abc import Mapping

# Popularity that placement follows changes from day to day, not from hour to hour: an evening must
# not outweigh the evening before it by more than its due, and a hit of the week is to be seen in days.
HALF_LIFE_S = 2 * 86_400.0
# Of one site, at some 200 bytes each. Where there are more, the less wanted half is forgotten.
VERSIONS_MAX = 20_000
# Before so much was seen, a rate is told as if it had been: the first minutes say little.
_SEEN_S_MIN = 3600.0
# What a byte may count for before all is divided by it, well within a float.
_WEIGHT_MAX = 2.0**64


class SiteDemand:
    """Began at `began`, in seconds since 1970; `score` is in bytes as they count at `since`."""

    def __init__(
        self,
        began: float,
        *,
        since: float | None = None,
        score: Mapping[str, float] | None = None,
        versions_max: int = VERSIONS_MAX,
    ) -> None:
        self.began = began
        self.since = began if since is None else since
        self.score = dict(score or {})
        # Time that was seen here never goes back, whatever is done to the clock.
        self._latest = self.since
        self._versions_max = versions_max

    def add(self, sent_bytes: Mapping[str, int], now: float) -> int:
        """What was sent of each version of late; returns how many versions were forgotten for it."""
        self._latest = max(self._latest, now)
        weight = self._weight(now)
        if weight > _WEIGHT_MAX:
            self._rebase()
            weight = 1.0
        for version, fresh in sent_bytes.items():
            self.score[version] = self.score.get(version, 0.0) + fresh * weight
        return self._forget()

    def bytes_per_s(self, now: float) -> Mapping[str, float]:
        """The rate of each version, over about the last half-life."""
        # A steady rate r that began s seconds ago comes to r * half-life / ln 2 * (1 - 2**-s/half-life).
        seen = 1.0 - 2.0 ** (-max(self._no_earlier(now) - self.began, _SEEN_S_MIN) / HALF_LIFE_S)
        per_s = math.log(2) / HALF_LIFE_S / seen / self._weight(now)
        return {version: score * per_s for version, score in self.score.items()}

    def copy(self) -> "SiteDemand":
        """To be kept: scores count at the latest time that was seen."""
        self._rebase()
        return SiteDemand(
            self.began, since=self.since, score=self.score, versions_max=self._versions_max
        )

    def _weight(self, now: float) -> float:
        return float(2.0 ** min((self._no_earlier(now) - self.since) / HALF_LIFE_S, 1000.0))

    def _no_earlier(self, now: float) -> float:
        return max(now, self._latest)

    def _rebase(self) -> None:
        weight = self._weight(self._latest)
        self.score = {version: score / weight for version, score in self.score.items()}
        self.since = self._latest

    def _forget(self) -> int:
        before = len(self.score)
        if before > self._versions_max:
            most = heapq.nlargest(
                self._versions_max // 2, self.score.items(), key=lambda item: item[1]
            )
            self.score = dict(most)
        return before - len(self.score)
