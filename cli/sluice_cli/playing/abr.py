"""Decides the rendition of the next segment from throughput and buffer. Pure.

Two exponentially weighted means, a quick and a slow one, are kept and the lower is believed: a drop
is seen at once and a peak only when it lasts. How much of that is spent depends on the buffer.
"""

from collections.abc import Sequence
from dataclasses import dataclass

QUICK_HALF_LIFE_S = 2.0
SLOW_HALF_LIFE_S = 5.0
# Smaller bodies measure the round trip, not the path.
SAMPLE_MIN_BYTES = 16 * 1024

# Below this a single late segment stops the picture.
SCARCE_BUFFER_S = 5.0
# Above this a step down can wait for certainty.
CALM_BUFFER_S = 15.0
SCARCE_SHARE = 0.5
USUAL_SHARE = 0.8


@dataclass(frozen=True, slots=True)
class Rung:
    """A rendition to choose from and what it needs, sound included."""

    rendition_id: str
    bandwidth_bps: int


class Throughput:
    """Remembers how fast bytes came."""

    def __init__(self) -> None:
        self._quick = _Mean(QUICK_HALF_LIFE_S)
        self._slow = _Mean(SLOW_HALF_LIFE_S)

    def add(self, size_bytes: int, seconds: float) -> None:
        """One transfer. Small ones are not believed."""
        if size_bytes < SAMPLE_MIN_BYTES or seconds <= 0:
            return
        rate_bps = size_bytes * 8 / seconds
        self._quick.add(rate_bps, seconds)
        self._slow.add(rate_bps, seconds)

    @property
    def bps(self) -> float | None:
        """The estimate; None before the first transfer."""
        quick, slow = self._quick.value, self._slow.value
        return None if quick is None or slow is None else min(quick, slow)


def choose(
    rungs: Sequence[Rung],
    *,
    throughput_bps: float | None,
    buffer_s: float,
    current: Rung | None,
) -> Rung:
    """The rung of the next segment. `rungs` may come in any order and must not be empty."""
    ladder = sorted(rungs, key=lambda rung: (rung.bandwidth_bps, rung.rendition_id))
    if throughput_bps is None:
        # The first picture soon; its transfer is the first measurement.
        return ladder[0]
    share = SCARCE_SHARE if buffer_s < SCARCE_BUFFER_S else USUAL_SHARE
    affordable = [rung for rung in ladder if rung.bandwidth_bps <= throughput_bps * share]
    best = affordable[-1] if affordable else ladder[0]
    if (
        current in ladder
        and buffer_s >= CALM_BUFFER_S
        and best.bandwidth_bps < current.bandwidth_bps <= throughput_bps
    ):
        return current
    return best


class _Mean:
    """An exponentially weighted mean over time, without the bias of its beginning."""

    def __init__(self, half_life_s: float) -> None:
        self._keep_per_s = 0.5 ** (1 / half_life_s)
        self._sum = 0.0
        self._weight = 0.0

    def add(self, value: float, seconds: float) -> None:
        keep = self._keep_per_s**seconds
        self._sum = self._sum * keep + value * (1 - keep)
        self._weight = self._weight * keep + (1 - keep)

    @property
    def value(self) -> float | None:
        return self._sum / self._weight if self._weight else None
