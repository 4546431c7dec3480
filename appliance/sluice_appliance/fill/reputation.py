"""Which sources are left for a time, for all objects: those that lie often, and those that ask for it.

One wrong object is a broken file, or a title that was published wrong; several are a broken disk or a
hostile box. So lies are counted by object: an object that every source has wrong condemns none of them.
"""

from collections import OrderedDict
from dataclasses import dataclass, field

from sluice_appliance.fill.sources import FaultKind

LIES = frozenset(
    (
        FaultKind.DIGEST_MISMATCH,
        FaultKind.OVERLONG,
        FaultKind.WRONG_RANGE,
        FaultKind.CHANGED,
    )
)
# The one that was at fault longest ago is forgotten for one more.
SOURCES_MAX = 256
# So many objects wrong, each within the time after the one before.
OBJECTS = 3
FORGET_S = 3600.0
# Left for so long, twice as long each time that follows, up to a bound.
LEFT_S = 600.0
LEFT_S_MAX = 6 * 3600.0
# A source may ask for silence (Retry-After), but not for ever.
RETRY_AFTER_S_MAX = 300.0


@dataclass(slots=True)
class _Record:
    wrong: set[str] = field(default_factory=set)
    lied_at: float = 0.0
    times_left: int = 0
    left_until: float = 0.0


class Reputation:
    """`now` is any clock that does not go back."""

    def __init__(self) -> None:
        self._records: OrderedDict[str, _Record] = OrderedDict()

    def __len__(self) -> int:
        return len(self._records)

    def is_left(self, source_id: str, now: float) -> bool:
        record = self._records.get(source_id)
        return record is not None and now < record.left_until

    def asked_for_silence(self, source_id: str, for_s: float, now: float) -> None:
        record = self._record(source_id)
        record.left_until = max(record.left_until, now + min(for_s, RETRY_AFTER_S_MAX))

    def faulted(self, source_id: str, fault: FaultKind, key: str, now: float) -> bool:
        """Whether the source is left for a time from now on, for what it did with this object."""
        if fault not in LIES:
            return False
        record = self._record(source_id)
        if now > max(record.lied_at, record.left_until) + FORGET_S:
            record.times_left = 0
        if now - record.lied_at > FORGET_S:
            record.wrong.clear()
        record.lied_at = now
        record.wrong.add(key)
        if len(record.wrong) < OBJECTS:
            return False
        record.wrong.clear()
        record.left_until = now + min(LEFT_S_MAX, LEFT_S * 2.0**record.times_left)
        record.times_left = min(record.times_left + 1, 16)
        return True

    def _record(self, source_id: str) -> _Record:
        record = self._records.setdefault(source_id, _Record())
        self._records.move_to_end(source_id)
        while len(self._records) > SOURCES_MAX:
            self._records.popitem(last=False)
        return record
