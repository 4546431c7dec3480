"""How fast fetched bytes are taken, all sources together: a token bucket that never sleeps itself.

Whoever has taken bytes asks when the next may be taken, and waits until then. Bytes are paid for after
they came, so a piece of any size passes, and the next waits for it. A pause earns no more than a short
burst: the switch before the box sees the cap, not its average.

Over any time t the bytes are at most cap * t + burst + one piece for each that takes.
"""

# So long a pause is made up for: longer than a loop's hiccup, too short to fill a switch's buffer.
BURST_S = 0.02


class RateLimit:
    """`now` is any clock that does not go back. No cap: nobody waits."""

    __slots__ = ("_bytes_per_s", "_free_at")

    def __init__(self, bits_per_s: float | None, now: float) -> None:
        self._bytes_per_s = _bytes_per_s(bits_per_s)
        # When all that was taken is paid for.
        self._free_at = now

    def change(self, bits_per_s: float | None, now: float) -> None:
        """From now on; what is not paid for yet is paid at the new rate."""
        bytes_per_s = _bytes_per_s(bits_per_s)
        if self._bytes_per_s is None or bytes_per_s is None:
            self._free_at = now
        else:
            owed_s = max(0.0, self._free_at - now)
            self._free_at = now + owed_s * self._bytes_per_s / bytes_per_s
        self._bytes_per_s = bytes_per_s

    def next_send_at(self, size_bytes: int, now: float) -> float:
        """Takes the bytes, and says when more may be taken: now, or later."""
        if self._bytes_per_s is None:
            return now
        self._free_at = max(self._free_at, now - BURST_S) + size_bytes / self._bytes_per_s
        return max(now, self._free_at)


def _bytes_per_s(bits_per_s: float | None) -> float | None:
    if bits_per_s is None:
        return None
    if bits_per_s <= 0:
        raise ValueError(f"bits_per_s is {bits_per_s}, expected more than 0")
    return bits_per_s / 8
