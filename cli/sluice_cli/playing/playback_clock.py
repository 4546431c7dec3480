"""Decides when the picture starts, stalls and ends, from when media arrived. Pure.

A viewer's clock beside the download: film plays in real time from what is buffered. It starts with
the first segment, stalls when the buffer runs dry and goes on with the next segment.
"""

# Two clocks are added up in different order; a microsecond is not a stall.
_EPSILON_S = 1e-6


class PlaybackClock:
    """Film time against wall time. `now` is seconds on any steady clock and never goes back."""

    def __init__(self, *, opened_at: float, buffer_limit_s: float) -> None:
        self._opened_at = opened_at
        self._limit_s = buffer_limit_s
        self._seen_at = opened_at
        self._started = False
        self._complete = False
        self._buffered_s = 0.0
        self._position_s = 0.0
        self._stalled_since: float | None = None
        self.startup_s = 0.0
        self.rebuffers = 0
        self.rebuffer_s = 0.0

    def media_arrived(self, until_s: float, now: float) -> None:
        """Film can be shown up to `until_s`."""
        self._advance(now)
        self._buffered_s = max(self._buffered_s, until_s)
        if not self._started:
            self._started = True
            self.startup_s = now - self._opened_at
        if self._stalled_since is not None and self._buffered_s > self._position_s:
            self.rebuffer_s += now - self._stalled_since
            self._stalled_since = None

    def last_media_arrived(self, now: float) -> None:
        """There is no more to come: running dry is the end, not a stall."""
        self._advance(now)
        self._complete = True
        # A stall in which no more is awaited lasted until now.
        if self._stalled_since is not None:
            self.rebuffer_s += now - self._stalled_since
            self._stalled_since = None

    def buffer_s(self, now: float) -> float:
        """How much film is ahead of the viewer."""
        self._advance(now)
        return self._buffered_s - self._position_s

    def room_in_s(self, segment_s: float, now: float) -> float:
        """How long until a segment fits into the buffer; a segment longer than it fits when it is empty."""
        limit_s = max(self._limit_s, segment_s)
        return max(0.0, self.buffer_s(now) + segment_s - limit_s) if self._started else 0.0

    def _advance(self, now: float) -> None:
        passed_s, self._seen_at = now - self._seen_at, now
        if not self._started or self._stalled_since is not None:
            return
        ahead_s = self._buffered_s - self._position_s
        if passed_s <= ahead_s + _EPSILON_S or self._complete:
            self._position_s = min(self._buffered_s, self._position_s + passed_s)
            return
        self._position_s = self._buffered_s
        self._stalled_since = now - passed_s + ahead_s
        self.rebuffers += 1
