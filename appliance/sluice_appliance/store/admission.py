"""Whether a block is worth its bytes on flash: a price on writing, that rises while much is written.

The budget says how much may be written in a day. To write whatever comes until it is used up gives it to
whoever asks first; so what is written has to gain more than a price, and the price is moved until what
gains as much is about what the budget fills. It doubles and halves with the bytes themselves, so there is no
clock to tune: a burst written above what the budget filled multiplies it by e to `PULL`, a burst filled
and not written divides it by as much.
"""

from math import exp

# At 1 the price of an evening is not forgotten over the night; at 4 it swings and the day's best is missed.
PULL = 1.0
# Where the budget is never used up, half a request a half-life: a lesser gain is mostly chance.
PRICE_MIN = 0.5
PRICE_MAX = 1e6
_FIRST = PRICE_MIN


class WritePrice:
    """In the unit of worth: requests, per byte written. Begins at `now`."""

    __slots__ = ("_at", "_burst_bytes", "_rate_bytes_per_s", "price")

    def __init__(self, rate_bytes_per_s: float, burst_bytes: float, now: float):
        self.price = _FIRST
        self._rate_bytes_per_s = rate_bytes_per_s
        self._burst_bytes = burst_bytes
        self._at = now

    def at(self, now: float) -> float:
        """The price at `now`, after what the budget filled since."""
        if now > self._at:
            if self.price > PRICE_MIN:
                self._move(-(now - self._at) * self._rate_bytes_per_s)
            self._at = now
        return self.price

    def wanted(self, size_bytes: int) -> None:
        """So many bytes were worth the price, whether the budget had them or not."""
        self._move(size_bytes)

    def resume(self, price: float, now: float) -> None:
        """Goes on from what a snapshot said."""
        self.price = min(max(price, PRICE_MIN), PRICE_MAX)
        self._at = max(self._at, now)

    def _move(self, filled_bytes: float) -> None:
        bursts = min(max(filled_bytes / self._burst_bytes, -30.0), 30.0)
        self.price = min(max(self.price * exp(PULL * bursts), PRICE_MIN), PRICE_MAX)
