"""Decides which requests are recorded: all while they are few, one in so many when a box is hot.

A request that is not recorded costs one decrement and one comparison:

    sampler.countdown -= 1
    if not sampler.countdown:
        weight = sampler.take()

A record's weight is how many requests it stands for: those since the record before it, and itself. Summed
they are the requests, so that figures made from records are right whatever was left out.
"""

# A stretch from one record to the next is 1..2n-1 requests, n on average: players ask for sound and
# picture in turn, and every second request of such a row would be sound for ever. Steps of the golden
# ratio spread the stretches evenly, with no chance in it.
_STEP = 0.6180339887498949
# Beyond any rate of requests: where stretches cease to double.
_EVERY_MAX = 1 << 24


class Sampler:
    """Lets about `per_window` requests through between two calls of `renew`.

    Where more come than the window before made expect, stretches double with each record beyond the
    allowance, so that a sudden crowd costs some twenty records more, not a record each.
    """

    __slots__ = ("_every", "_left", "_per_window", "_seen", "_stretch", "_turn", "countdown")

    def __init__(self, per_window: int) -> None:
        if per_window < 1:
            raise ValueError(f"per_window is {per_window}, expected 1 or more")
        self._per_window = per_window
        self._every = 1
        self._left = per_window
        # Requests of this window that a record stands for.
        self._seen = 0
        self._turn = 0.0
        self._stretch = 1
        self.countdown = 1

    def take(self) -> int:
        """The weight of the request at hand, when `countdown` is 0; begins the next stretch."""
        weight = self._stretch
        self._seen += weight
        if self._left > 0:
            self._left -= 1
        else:
            self._every = min(self._every * 2, _EVERY_MAX)
        self._begin_stretch(0)
        return weight

    def renew(self) -> None:
        """A window has ended: one in how many is learnt from what it held."""
        waiting = self._stretch - self.countdown
        self._every = max(1, -(-(self._seen + waiting) // self._per_window))
        # Those that wait are of the window that ended; the next record stands for them too.
        self._seen = -waiting
        self._left = self._per_window
        self._begin_stretch(waiting)

    def _begin_stretch(self, waiting: int) -> None:
        """`waiting` requests have gone by since the last record."""
        self._turn = (self._turn + _STEP) % 1.0
        self.countdown = 1 + int(self._turn * (2 * self._every - 1))
        self._stretch = waiting + self.countdown
