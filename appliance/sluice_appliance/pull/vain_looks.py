"""How often the control plane is asked for what no title has: a flood of wrong names asks it no more than so.

A token bucket: a question takes a token, and one that finds an object gives it back. So a box that is
asked for what there is is never held up, however often, and one that is asked for names that somebody
makes up asks for `VAIN_BURST` of them, and then for `VAIN_PER_S`.
"""

# What a box of honest players asks in vain is a title just taken back, and names with a mistake.
VAIN_PER_S = 50.0
# More than the questions that are under way at a time, which hold a token each.
VAIN_BURST = 256


class VainLooks:
    """`now` is any clock that does not go back. Over any `t` seconds at most `VAIN_BURST + VAIN_PER_S * t`
    questions find nothing."""

    __slots__ = ("_at", "_left")

    def __init__(self) -> None:
        self._left = float(VAIN_BURST)
        self._at = 0.0

    def begin(self, now: float) -> bool:
        """Whether one more may be asked."""
        if now > self._at:
            self._left = min(VAIN_BURST, self._left + (now - self._at) * VAIN_PER_S)
            self._at = now
        if self._left < 1:
            return False
        self._left -= 1
        return True

    def not_in_vain(self) -> None:
        """One that was begun found an object, or nobody could be asked."""
        self._left = min(VAIN_BURST, self._left + 1)
