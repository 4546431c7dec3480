"""What brought nothing a moment ago, so that it is not tried again for everyone who asks."""

from collections import OrderedDict
from typing import Generic, TypeVar

# Long enough that a flood of one wrong name asks nobody, short enough that nobody notices a title that
# has just come.
NEGATIVE_S = 1.0
# The one that was noted longest ago is forgotten for one more.
NEGATIVES_MAX = 4096

Reason = TypeVar("Reason")


class Negatives(Generic[Reason]):
    """Reasons by key; `now` is any clock that does not go back."""

    __slots__ = ("_noted",)

    def __init__(self) -> None:
        self._noted: OrderedDict[str, tuple[float, Reason]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._noted)

    def note(self, key: str, reason: Reason, now: float) -> None:
        self._noted[key] = now + NEGATIVE_S, reason
        self._noted.move_to_end(key)
        while len(self._noted) > NEGATIVES_MAX:
            self._noted.popitem(last=False)

    def look(self, key: str, now: float) -> Reason | None:
        """None where nothing is known of it, or no longer."""
        noted = self._noted.get(key)
        if noted is None:
            return None
        until, reason = noted
        if now < until:
            return reason
        del self._noted[key]
        return None
