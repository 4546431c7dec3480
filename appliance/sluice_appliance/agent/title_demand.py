"""Adds up what was sent of each title until the control plane has heard of it. Pure.

A report that is under way is kept as it is, with its number, until it was taken: the control plane
counts a number once, so that a lost answer counts nothing twice. What is sent meanwhile waits for the
next one.
"""

import heapq
from collections.abc import Mapping
from dataclasses import dataclass, field

from sluice_appliance.serving.popularity import Hits

# As many as the control plane takes of one report.
TITLES_MAX = 2_000
# Title versions that wait, at some 200 bytes each: a box without a control plane for days knows all of
# a large catalog. What is sent of any more counts for the rest.
WAITING_MAX = 50_000
NOTHING = Hits()


@dataclass(frozen=True, slots=True)
class DemandReport:
    """What was sent, by `title/version`, the most first, and of everything else."""

    sequence: int
    titles: Mapping[str, Hits] = field(default_factory=dict)
    rest: Hits = NOTHING


class TitleDemand:
    """What waits to be told."""

    def __init__(self, *, titles_max: int = TITLES_MAX, waiting_max: int = WAITING_MAX) -> None:
        self._titles_max = titles_max
        self._waiting_max = waiting_max
        self._waiting: dict[str, Hits] = {}
        self._rest = NOTHING
        self._sequence = 0
        self._under_way: DemandReport | None = None

    def add(self, by_key: Mapping[str, Hits]) -> None:
        """What was sent of each object."""
        for key, fresh in by_key.items():
            version = _version_of(key)
            known = self._waiting.get(version)
            if known is not None:
                self._waiting[version] = known + fresh
            elif version and len(self._waiting) < self._waiting_max:
                self._waiting[version] = fresh
            else:
                self._rest += fresh

    def report(self) -> DemandReport | None:
        """The report under way, or a new one; None where there is nothing to tell."""
        if self._under_way is None and (self._waiting or self._rest != NOTHING):
            most = heapq.nlargest(
                self._titles_max, self._waiting.items(), key=lambda item: item[1].sent_bytes
            )
            titles = dict(most)
            rest = sum((h for v, h in self._waiting.items() if v not in titles), self._rest)
            self._sequence += 1
            self._under_way = DemandReport(self._sequence, titles, rest)
            self._waiting, self._rest = {}, NOTHING
        return self._under_way

    def taken(self) -> None:
        """The report under way arrived."""
        self._under_way = None


def _version_of(key: str) -> str:
    """`title/version` of `title/version/file`; empty for an object of no title."""
    parts = key.split("/", 2)
    return "/".join(parts[:2]) if len(parts) == 3 else ""
