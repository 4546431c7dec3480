"""When a disk that still takes a small file counts as failed: too many things on it fail in too short a time.

A bad sector fails again and again, and is one thing: what is counted is how many different objects
fail. A disk that loses 32 in an hour is dying; what it still has is fetched elsewhere while it can be read.
"""

ERRORS_MAX = 32
WINDOW_S = 3600.0


class ErrorWindow:
    """`now` is any clock that does not go back."""

    __slots__ = ("_failed_at",)

    def __init__(self) -> None:
        # The latest last; never more than ERRORS_MAX.
        self._failed_at: dict[str, float] = {}

    def add(self, what: str, now: float) -> bool:
        """Something failed; whether that is one too many."""
        self._failed_at.pop(what, None)
        self._failed_at[what] = now
        too_many = self.count(now) >= ERRORS_MAX
        while len(self._failed_at) > ERRORS_MAX:
            del self._failed_at[next(iter(self._failed_at))]
        return too_many

    def count(self, now: float) -> int:
        """Different things that failed within the window."""
        while self._failed_at:
            oldest = next(iter(self._failed_at))
            if now - self._failed_at[oldest] < WINDOW_S:
                break
            del self._failed_at[oldest]
        return len(self._failed_at)
