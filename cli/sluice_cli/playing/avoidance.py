"""Decides the order in which pathways and addresses are tried, from what failed lately. Pure.

What failed goes to the back of the row for a while, and is not left out: it may be all there is.
"""

from collections.abc import Callable, Sequence
from typing import TypeVar

T = TypeVar("T")

# DNS stops naming a dead appliance within five seconds; twice that and its answer is believed again.
ADDRESS_AVOIDED_S = 10.0
# A name none of whose addresses worked; as long as a player's usual buffer.
PATHWAY_AVOIDED_S = 30.0
# Names and addresses come from other machines' answers.
REMEMBERED_MAX = 256


class Avoidance:
    """Remembers when each thing failed."""

    def __init__(self, avoided_s: float) -> None:
        self._avoided_s = avoided_s
        self._failed_at: dict[str, float] = {}

    def failed(self, name: str, now: float) -> None:
        self._failed_at.pop(name, None)
        if len(self._failed_at) >= REMEMBERED_MAX:
            # The oldest grudge is forgotten first.
            del self._failed_at[next(iter(self._failed_at))]
        self._failed_at[name] = now

    def worked(self, name: str) -> None:
        self._failed_at.pop(name, None)

    def in_order(self, things: Sequence[T], name_of: Callable[[T], str], now: float) -> list[T]:
        """The same things: those without a recent failure first, otherwise in their own order."""
        return sorted(things, key=lambda thing: self._is_avoided(name_of(thing), now))

    def _is_avoided(self, name: str, now: float) -> bool:
        failed_at = self._failed_at.get(name)
        return failed_at is not None and now - failed_at < self._avoided_s
