"""What fill brings: bytes sent to players over bytes fetched, by appliance. Pure.

An appliance tells both since its own start. What it told before it started anew stays counted, and what is
told of an earlier start than the last one is no news.
"""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Returns:
    """In bytes."""

    filled: int = 0
    offloaded: int = 0

    def __add__(self, other: "Returns") -> "Returns":
        return Returns(self.filled + other.filled, self.offloaded + other.offloaded)

    @property
    def ratio(self) -> float:
        """Above 1, fill saves more than it costs; 0 where nothing was fetched."""
        return self.offloaded / self.filled if self.filled else 0.0


NOTHING = Returns()


@dataclass(slots=True)
class _Account:
    incarnation: str
    told: Returns
    # Of the starts before.
    before: Returns = NOTHING


class FillReturns:
    """One account for each appliance that reported since the control plane started."""

    def __init__(self) -> None:
        self._accounts: dict[str, _Account] = {}

    def hear(self, appliance_id: str, incarnation: str, told: Returns) -> Returns:
        """Takes what an appliance tells of its present start; returns what is new of it."""
        account = self._accounts.get(appliance_id)
        if account is None:
            self._accounts[appliance_id] = _Account(incarnation, told)
            return told
        if account.incarnation != incarnation:
            account.before += account.told
            account.incarnation, account.told = incarnation, NOTHING
        # An older report that came late says less.
        most = Returns(
            max(account.told.filled, told.filled), max(account.told.offloaded, told.offloaded)
        )
        fresh = Returns(most.filled - account.told.filled, most.offloaded - account.told.offloaded)
        account.told = most
        return fresh

    def of(self, appliance_ids: Iterable[str]) -> Returns:
        """Of these together, as far as they were heard."""
        total = NOTHING
        for appliance_id in appliance_ids:
            if (account := self._accounts.get(appliance_id)) is not None:
                total += account.before + account.told
        return total
