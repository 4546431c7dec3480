"""Who is on the way to a block: viewers of its run, told apart by blocks that are asked for one after the other.

A request for the block after one that was just asked for is the same viewer going on; any other is a viewer that
begins there. Nobody's name or address is needed. How long a block takes to watch is seen from how fast viewers go
on.

Cost: some hundred bytes for a run that is watched, and 24 bytes for each of its viewers.
"""

# Of one run; of more, those that went on longest ago are left out until they go on. A run with so many is
# kept for its requests alone.
VIEWERS_MAX = 16
# Players fetch some minutes ahead at most: who did not go on for so long has left, or paused.
GONE_S = 300.0
# Further away than this most have left, or stand in another rendition.
AHEAD_S = 7_200.0
# How fast the pace is followed.
_FOLLOW = 0.1
# Until one went on.
_FIRST_PACE_S = 4.0
# Nobody watches faster; who downloads the whole of it does.
_PACE_S_MIN = 0.1


class Viewers:
    """Of one run."""

    __slots__ = ("_at", "_far", "_pace_s")

    def __init__(self) -> None:
        # When each was seen last, by the block asked for; the longest ago first.
        self._at: dict[int, float] = {}
        self._pace_s = _FIRST_PACE_S
        # In blocks.
        self._far = AHEAD_S / _FIRST_PACE_S

    def asked(self, number: int, now: float) -> None:
        """Somebody asks for the block."""
        at = self._at
        before = at.pop(number - 1, None)
        if before is not None:
            self._pace_s += _FOLLOW * (now - before - self._pace_s)
            self._far = AHEAD_S / max(self._pace_s, _PACE_S_MIN)
        at.pop(number, None)
        at[number] = now
        if len(at) > 1:
            self._forget(now)

    def coming(self, number: int, now: float) -> float:
        """How many of them are expected to ask for the block within `AHEAD_S`: less of those far away."""
        coming, far = 0.0, self._far
        for there, when in self._at.items():
            if there < number < there + far and now - when <= GONE_S:
                coming += 1 - (number - there) / far
        return coming

    def __len__(self) -> int:
        return len(self._at)

    def _forget(self, now: float) -> None:
        at = self._at
        oldest = next(iter(at))
        while len(at) > VIEWERS_MAX or now - at[oldest] > GONE_S:
            del at[oldest]
            oldest = next(iter(at))
