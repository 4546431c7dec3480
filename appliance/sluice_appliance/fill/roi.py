"""Whether filling pays: bytes sent to players for each byte fetched, smoothed over days.

A box whose viewers take less than what is fetched for them burdens the link that it was put there to
relieve. Then what is not urgent stops coming. What is held goes on serving while nothing comes, so the
ratio rises again by itself if there is an audience, and filling resumes. A young box is not judged:
it fetches all its disks before it can show anything.
"""

from dataclasses import dataclass, replace
from math import inf

_DAY_S = 86_400.0


@dataclass(frozen=True, slots=True)
class RoiTuning:
    # A day weighs half as much after so long: a week has its quiet and its busy days.
    half_life_s: float = 7 * _DAY_S
    # From the first byte: a box of hundreds of terabytes takes weeks to fill in windows.
    grace_s: float = 30 * _DAY_S
    # It stays below for so long before filling stops, and is so high before filling resumes: with one
    # bound for both it would stop and go every day.
    stop_below: float = 1.0
    stop_after_s: float = 2 * _DAY_S
    resume_above: float = 1.2


@dataclass(frozen=True, slots=True)
class FillRoi:
    """One box's or site's; kept over restarts as it is. `advanced` makes the next."""

    # When the first byte came, and when this was last advanced, in seconds since 1970.
    began_at: float
    at: float
    # Smoothed: the halves of last week's, the quarters of the one before.
    filled_bytes: float = 0.0
    offloaded_bytes: float = 0.0
    # Since when the ratio is below the bound; None while it is not.
    below_since: float | None = None
    # What is not urgent is fetched no more.
    is_stopped: bool = False

    @property
    def ratio(self) -> float:
        """Infinite where nothing was fetched."""
        return self.offloaded_bytes / self.filled_bytes if self.filled_bytes else inf


def advanced(
    roi: FillRoi,
    now: float,
    *,
    filled_bytes: int,
    offloaded_bytes: int,
    tuning: RoiTuning = RoiTuning(),
) -> FillRoi:
    """After so many bytes more. A clock that went back is one that stood still."""
    now = max(now, roi.at)
    left = 0.5 ** ((now - roi.at) / tuning.half_life_s)
    then = replace(
        roi,
        at=now,
        filled_bytes=roi.filled_bytes * left + filled_bytes,
        offloaded_bytes=roi.offloaded_bytes * left + offloaded_bytes,
    )
    below_since = None
    if then.ratio < tuning.stop_below:
        below_since = now if roi.below_since is None else roi.below_since
    return replace(then, below_since=below_since, is_stopped=_is_stopped(then, below_since, tuning))


def _is_stopped(roi: FillRoi, below_since: float | None, tuning: RoiTuning) -> bool:
    if roi.at - roi.began_at < tuning.grace_s:
        return False
    if roi.is_stopped:
        return roi.ratio < tuning.resume_above
    return below_since is not None and roi.at - below_since >= tuning.stop_after_s
