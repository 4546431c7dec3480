"""Whether fill stands aside for viewers: serving's signals in, pause or go on out.

Fill pauses at once when any signal is above its bound, for a viewer that waits is gone, and goes on only
after all were well below their bounds for a while: fill itself makes the load, so a pause always looks
like relief, and with one bound for both it would flutter. Each pause that follows soon after another is
twice as long, up to a bound.
"""

from dataclasses import dataclass
from enum import Enum


class Signal(Enum):
    """What showed the pressure; a label of counters."""

    DISK_QUEUE = "disk_queue"
    SHED = "shed"
    LOOP_LAG = "loop_lag"
    CPU = "cpu"


@dataclass(frozen=True, slots=True)
class Load:
    """What serving shows at one time."""

    # Reads that wait for a disk, as a share of those that the disks are given at a time.
    disk_queue: float = 0.0
    # Requests answered 503 since the last look.
    shed: int = 0
    # How late a serving worker's loop is, the latest of them.
    loop_lag_s: float = 0.0
    # The busiest worker's share of a core.
    cpu: float = 0.0


@dataclass(frozen=True, slots=True)
class PressureTuning:
    """Bounds at which fill pauses."""

    disk_queue: float = 0.75
    shed: int = 0
    loop_lag_s: float = 0.02
    cpu: float = 0.9
    # Below this share of every bound there is no pressure.
    calm: float = 0.7
    # The first pause, and the longest; a pause begun so long after the last one ended is a first one.
    pause_s: float = 2.0
    pause_s_max: float = 60.0
    forget_s: float = 120.0


class Pressure:
    """`now` is any clock that does not go back."""

    def __init__(self, tuning: PressureTuning = PressureTuning()) -> None:
        self._tuning = tuning
        self._pause_s = 0.0
        self._resumed_at: float | None = None
        # None while fill goes on.
        self._until: float | None = None

    @property
    def is_paused(self) -> bool:
        return self._until is not None

    def look(self, load: Load, now: float) -> Signal | None:
        """What pressed, if that begins a pause; ask `is_paused` what to do."""
        if self._until is None:
            pressing = _pressing(load, self._tuning, 1.0)
            if pressing is not None:
                self._begin(now)
            return pressing
        if _pressing(load, self._tuning, self._tuning.calm) is not None:
            # Calm for the whole of a pause is what ends it.
            self._until = now + self._pause_s
        elif now >= self._until:
            self._until, self._resumed_at = None, now
        return None

    def _begin(self, now: float) -> None:
        tuning = self._tuning
        soon = self._resumed_at is not None and now - self._resumed_at < tuning.forget_s
        self._pause_s = min(tuning.pause_s_max, 2 * self._pause_s) if soon else tuning.pause_s
        self._until = now + self._pause_s


def _pressing(load: Load, tuning: PressureTuning, share: float) -> Signal | None:
    if load.shed > share * tuning.shed:
        return Signal.SHED
    if load.disk_queue > share * tuning.disk_queue:
        return Signal.DISK_QUEUE
    if load.loop_lag_s > share * tuning.loop_lag_s:
        return Signal.LOOP_LAG
    return Signal.CPU if load.cpu > share * tuning.cpu else None
