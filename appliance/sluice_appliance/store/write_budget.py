"""How much may be written to flash: a bucket of bytes that fills with time, and is never overdrawn.

Flash wears out by being written. Its maker says for how many drive writes a day it is good: so many times its
capacity. What evenings want beyond the day's mean is saved up when less is asked, up to a burst.
"""

DAY_S = 86_400.0
# An evening's peak is some six hours long.
BURST_S = 6 * 3600.0


class WriteBudget:
    """Over any `t` seconds at most `burst_bytes + rate_bytes_per_s * t` are given out. `now` only goes
    forward; a `now` that is earlier counts as no time."""

    __slots__ = (
        "_at",
        "_left_bytes",
        "burst_bytes",
        "given_bytes",
        "rate_bytes_per_s",
        "refused_bytes",
    )

    def __init__(self, rate_bytes_per_s: float, burst_bytes: float, now: float):
        if rate_bytes_per_s <= 0 or burst_bytes <= 0:
            raise ValueError(
                f"{rate_bytes_per_s} bytes/s and a burst of {burst_bytes} bytes: both are above 0"
            )
        self.rate_bytes_per_s = rate_bytes_per_s
        self.burst_bytes = burst_bytes
        # What was asked for, by what became of it.
        self.given_bytes = 0
        self.refused_bytes = 0
        self._left_bytes = burst_bytes
        self._at = now

    def take(self, size_bytes: int, now: float) -> bool:
        """Whether so many bytes may be written; if so, they are taken."""
        if size_bytes > self.left_bytes(now):
            self.refused_bytes += size_bytes
            return False
        self._left_bytes -= size_bytes
        self.given_bytes += size_bytes
        return True

    def left_bytes(self, now: float) -> float:
        if now > self._at:
            filled = self._left_bytes + (now - self._at) * self.rate_bytes_per_s
            self._left_bytes = min(filled, self.burst_bytes)
            self._at = now
        return self._left_bytes

    def resume(self, left_bytes: float, now: float) -> None:
        """Goes on from what a snapshot said was left, so that restarts are no way around the budget."""
        self._left_bytes = min(max(left_bytes, 0.0), self.burst_bytes)
        self._at = max(self._at, now)


def write_budget(
    drive_writes_per_day: float, capacity_bytes: int, now: float, *, burst_s: float = BURST_S
) -> WriteBudget:
    """The budget of a drive that its maker rates for so many writes of the whole of it a day."""
    rate = drive_writes_per_day * capacity_bytes / DAY_S
    return WriteBudget(rate, rate * burst_s, now)
