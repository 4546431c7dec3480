"""Decides how far a fill is from what appliances report. Pure.

Appliances report on all they should hold, not on one title. What is missing in the whole fleet
rises when a new title is placed and falls as it arrives; the highest value seen is the whole way.
"""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Held:
    """What one appliance reported: bytes of its manifest, and of those, bytes held."""

    wanted_bytes: int
    held_bytes: int


class FillProgress:
    """Remembers the largest gap; `observe` gives the share that is closed."""

    def __init__(self) -> None:
        self._most_missing_bytes = 0
        self._share = 0.0

    def observe(self, appliances: Iterable[Held]) -> float:
        """0..1, and never less than it was before."""
        missing = sum(max(0, held.wanted_bytes - held.held_bytes) for held in appliances)
        self._most_missing_bytes = max(self._most_missing_bytes, missing)
        if self._most_missing_bytes:
            self._share = max(self._share, 1.0 - missing / self._most_missing_bytes)
        return self._share
