"""Which objects are asked for: hits and bytes of each, counted by workers in memory that all share.

A worker holds a slot for each object that it has open, and a request pays two stores in memory:
`table.hits[slot] += 1; table.sent_bytes[slot] += n`, about 0.15 us. The supervisor drains the tables by
key. Nobody locks and nobody waits:

- A table has one writer. Whoever holds the kernel's lock on its place in the descriptor is it, and the
  lock goes with the process, however that ends.
- Counts only ever grow. The supervisor notes in the table how far it has drained each slot, and a
  worker gives a slot to another object only when all of it was drained.
- A slot's key is written between two steps of its version. The supervisor leaves a slot alone whose
  version is odd or changed under its hands, and drains it the next time.

An object for which no slot is free counts in slot 0, which stands for no object: those hits are lost to
popularity, and are told as lost.
"""

import fcntl
import mmap
import os
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field

from sluice_appliance.object_key import KEY_CHARS_MAX

# Four times the objects that a worker keeps open (Limits.open_files), so that those that were closed
# since the last drain find room beside them. With keys, 4.4 MB a table, of which the kernel gives out
# what is used.
SLOTS = 8192
# Slots of closed objects that are looked at for one that was drained.
_IDLE_LOOKED_AT = 8

_LOST = 0
_COLUMNS = ("version", "hits", "sent_bytes", "drained_hits", "drained_bytes")
_COLUMN_BYTES = SLOTS * 8
_KEYS_AT = len(_COLUMNS) * _COLUMN_BYTES
# How many slots were ever used.
_USED_AT = _KEYS_AT + SLOTS * KEY_CHARS_MAX
_TABLE_BYTES = -(-(_USED_AT + 8) // mmap.PAGESIZE) * mmap.PAGESIZE


@dataclass(frozen=True, slots=True)
class Hits:
    """Requests for an object, and the bytes of it that were sent for them."""

    hits: int = 0
    sent_bytes: int = 0

    def __add__(self, other: "Hits") -> "Hits":
        return Hits(self.hits + other.hits, self.sent_bytes + other.sent_bytes)


@dataclass(frozen=True, slots=True)
class Drained:
    """What was counted since the drain before: by key, and what belongs to no key."""

    by_key: Mapping[str, Hits] = field(default_factory=dict)
    lost: Hits = Hits()


class _Columns:
    """A table in shared memory, as columns of numbers and a block of keys."""

    def __init__(self, memory: "memoryview[int]") -> None:
        self.version, self.hits, self.sent_bytes, self.drained_hits, self.drained_bytes = (
            memory[start : start + _COLUMN_BYTES].cast("Q")
            for start in range(0, _KEYS_AT, _COLUMN_BYTES)
        )
        self.keys = memory[_KEYS_AT:_USED_AT]
        self.used = memory[_USED_AT : _USED_AT + 8].cast("Q")

    def key(self, slot: int) -> str:
        at = slot * KEY_CHARS_MAX
        return bytes(self.keys[at : at + KEY_CHARS_MAX]).rstrip(b"\0").decode("ascii", "replace")

    def write_key(self, slot: int, key: str) -> None:
        at = slot * KEY_CHARS_MAX
        # Odd while the key is neither the old nor the new one; a worker that died in here left it odd.
        self.version[slot] |= 1
        self.keys[at : at + KEY_CHARS_MAX] = key.encode("ascii").ljust(KEY_CHARS_MAX, b"\0")
        self.version[slot] += 1

    def is_drained(self, slot: int) -> bool:
        return (
            self.hits[slot] == self.drained_hits[slot]
            and self.sent_bytes[slot] == self.drained_bytes[slot]
        )


class WorkerTable:
    """One worker's side of a table: the slots of the objects that it has open."""

    def __init__(self, columns: _Columns, slots: int) -> None:
        self._slots = slots
        self.hits = columns.hits
        self.sent_bytes = columns.sent_bytes
        self._columns = columns
        self._slot_of: dict[str, int] = {}
        self._key_of: dict[int, str] = {}
        self._users: dict[int, int] = {}
        # Slots whose object is closed, the longest closed first.
        self._idle: OrderedDict[int, None] = OrderedDict()
        columns.used[0] = max(1, columns.used[0])
        for slot in range(1, columns.used[0]):
            self._find_left(slot)

    def take(self, key: str) -> int:
        """The slot of an object that is opened; slot 0, which is nobody's, where none is free."""
        slot = self._slot_of.get(key)
        if slot is None:
            slot = self._free_slot()
            if slot == _LOST:
                return slot
            self._columns.write_key(slot, key)
            self._slot_of[key], self._key_of[slot] = slot, key
        self._idle.pop(slot, None)
        self._users[slot] = self._users.get(slot, 0) + 1
        return slot

    def leave(self, slot: int) -> None:
        """The object is closed."""
        if slot == _LOST:
            return
        self._users[slot] -= 1
        if not self._users[slot]:
            del self._users[slot]
            self._idle[slot] = None

    def _find_left(self, slot: int) -> None:
        """Takes over a slot of the worker that held this table before."""
        self._idle[slot] = None
        version = self._columns.version[slot]
        if version and version % 2 == 0:
            key = self._columns.key(slot)
            self._slot_of[key], self._key_of[slot] = slot, key

    def _free_slot(self) -> int:
        used = self._columns.used[0]
        if used < self._slots:
            self._columns.used[0] = used + 1
            return used
        for slot in [slot for slot, _ in zip(self._idle, range(_IDLE_LOOKED_AT), strict=False)]:
            if self._columns.is_drained(slot):
                del self._idle[slot]
                self._slot_of.pop(self._key_of.pop(slot, ""), None)
                return slot
            # Behind the others: the next look begins with those not yet looked at.
            self._idle.move_to_end(slot)
        return _LOST


class Popularity:
    """So many tables in memory that workers inherit by descriptor.

    While workers are replaced there are the old and the new: have twice as many tables as workers.
    """

    def __init__(self, tables: int, *, descriptor: int = -1) -> None:
        size = tables * _TABLE_BYTES
        if descriptor < 0:
            descriptor = os.memfd_create("sluice-popularity", os.MFD_CLOEXEC)
            os.ftruncate(descriptor, size)
        self.descriptor = descriptor
        memory = memoryview(mmap.mmap(descriptor, size))
        self._tables = [
            _Columns(memory[start : start + _TABLE_BYTES]) for start in range(0, size, _TABLE_BYTES)
        ]

    @classmethod
    def inherited(cls, descriptor: int) -> "Popularity":
        """What a worker was handed."""
        return cls(os.fstat(descriptor).st_size // _TABLE_BYTES, descriptor=descriptor)

    def claim(self, *, slots: int = SLOTS) -> WorkerTable:
        """A table for this process, until it ends. Where none is left it counts where nobody looks."""
        for place, columns in enumerate(self._tables):
            try:
                fcntl.lockf(self.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, place)
            except OSError:
                continue
            return WorkerTable(columns, slots)
        return WorkerTable(_Columns(memoryview(mmap.mmap(-1, _TABLE_BYTES))), slots)

    def drain(self) -> Drained:
        """What was counted since the last drain, over all tables: about 1 ms a table that is full, and
        3 us for each object that was asked for."""
        by_key: dict[str, Hits] = {}
        lost = Hits()
        for columns in self._tables:
            lost += _drain_slot(columns, _LOST)
            for slot in _counted(columns):
                version = columns.version[slot]
                key = columns.key(slot)
                if version % 2 or not key:
                    continue
                hits, sent_bytes = columns.hits[slot], columns.sent_bytes[slot]
                if columns.version[slot] == version:
                    fresh = _note(columns, slot, hits, sent_bytes)
                    known = by_key.get(key)
                    by_key[key] = fresh if known is None else known + fresh
        return Drained(by_key, lost)


def _counted(columns: _Columns) -> list[int]:
    """The slots that have something to drain."""
    used = columns.used[0]
    return [
        slot
        for slot, (hits, drained, sent, drained_bytes) in enumerate(
            zip(
                columns.hits[:used],
                columns.drained_hits[:used],
                columns.sent_bytes[:used],
                columns.drained_bytes[:used],
                strict=True,
            )
        )
        if slot and (hits != drained or sent != drained_bytes)
    ]


def _drain_slot(columns: _Columns, slot: int) -> Hits:
    return _note(columns, slot, columns.hits[slot], columns.sent_bytes[slot])


def _note(columns: _Columns, slot: int, hits: int, sent_bytes: int) -> Hits:
    """What is new in a slot up to these counts, which are noted as drained."""
    fresh = Hits(hits - columns.drained_hits[slot], sent_bytes - columns.drained_bytes[slot])
    columns.drained_hits[slot], columns.drained_bytes[slot] = hits, sent_bytes
    return fresh
