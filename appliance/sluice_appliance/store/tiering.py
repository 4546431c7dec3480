"""Decides what moves between flash and hard disks: what is asked for most per byte belongs on flash.

Flash serves many at a time and wears out by writing; a hard disk holds much, is not worn, and is slow
wherever it has to seek. So flash takes what pays for the bytes written, and a hard disk takes whole files,
one after the other. Demand per byte orders everything: a move up is worth its bytes if, over the
horizon, flash then serves more bytes than the move writes, and by a margin more than what it displaces;
otherwise two files of like demand would change places for ever.

Cost: a sort of what is held. It is planned every few minutes, not for a request.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from sluice_appliance.store.disks import Tier


@dataclass(frozen=True, slots=True)
class Placed:
    """A whole object, where it is, and how much of it is asked for."""

    key: str
    size_bytes: int
    tier: Tier
    demand_bytes_per_s: float

    @property
    def demand_per_byte(self) -> float:
        """How many times a second the whole of it is asked for."""
        return self.demand_bytes_per_s / max(self.size_bytes, 1)


@dataclass(frozen=True, slots=True)
class TierLimits:
    flash_capacity_bytes: int
    hard_disk_capacity_bytes: int
    # What may be written now; that of flash is what its WriteBudget has left.
    flash_write_bytes: float
    hard_disk_write_bytes: float
    # For how long what moves up is expected to be asked for as it is now.
    horizon_s: float = 86_400.0
    # So many times the demand of what it displaces. At 1, two files of like demand would swap for ever.
    margin: float = 1.5

    def __post_init__(self) -> None:
        if self.margin < 1:
            raise ValueError(f"margin is {self.margin}, expected 1 or more")


@dataclass(frozen=True, slots=True)
class Move:
    key: str
    size_bytes: int
    to: Tier


@dataclass(frozen=True, slots=True)
class TierMoves:
    """To be done in order. Each move finds room where it goes: what leaves flash for it goes before."""

    moves: tuple[Move, ...]
    # Not moved though it would pay: flash may not be written more now.
    waiting_bytes: int


def plan_moves(objects: Sequence[Placed], limits: TierLimits) -> TierMoves:
    """Promotions in the order of demand per byte, each after the demotions that make its room.

    Nothing is deleted: what no tier has room for stays where it is, and the fill plan evicts.
    """
    up = sorted((each for each in objects if each.tier is Tier.HDD), key=_most_wanted)
    down = sorted((each for each in objects if each.tier is Tier.SSD), key=_most_wanted)
    planned = _Planned(limits, objects)
    for wanted in up:
        if wanted.demand_per_byte * limits.horizon_s <= 1:
            break  # Flash would be written more than it serves; so for all that follow.
        planned.promote(wanted, down)
    return TierMoves(tuple(planned.moves), planned.waiting_bytes)


class _Planned:
    """The tiers as they are once the moves so far are done."""

    def __init__(self, limits: TierLimits, objects: Sequence[Placed]):
        self.moves: list[Move] = []
        self.waiting_bytes = 0
        self._limits = limits
        self._flash_room = limits.flash_capacity_bytes - _held(objects, Tier.SSD)
        self._disk_room = limits.hard_disk_capacity_bytes - _held(objects, Tier.HDD)
        self._flash_writes = limits.flash_write_bytes
        self._disk_writes = limits.hard_disk_write_bytes

    def promote(self, wanted: Placed, down: list[Placed]) -> None:
        """Takes what makes way off the end of `down`, where the least wanted are."""
        count, freed = self._making_way(wanted, down)
        if self._flash_room + freed < wanted.size_bytes:
            return
        if wanted.size_bytes > self._flash_writes:
            self.waiting_bytes += wanted.size_bytes
            return
        if freed > min(self._disk_room, self._disk_writes):
            return
        for _ in range(count):
            least = down.pop()
            self.moves.append(Move(least.key, least.size_bytes, Tier.HDD))
        self.moves.append(Move(wanted.key, wanted.size_bytes, Tier.SSD))
        self._flash_room += freed - wanted.size_bytes
        # What moved up leaves its place on the hard disk.
        self._disk_room += wanted.size_bytes - freed
        self._flash_writes -= wanted.size_bytes
        self._disk_writes -= freed

    def _making_way(self, wanted: Placed, down: list[Placed]) -> tuple[int, int]:
        """How many of the least wanted, and their bytes."""
        count = freed = 0
        while self._flash_room + freed < wanted.size_bytes and count < len(down):
            least = down[-1 - count]
            if wanted.demand_per_byte <= self._limits.margin * least.demand_per_byte:
                break
            count += 1
            freed += least.size_bytes
        return count, freed


def _held(objects: Sequence[Placed], tier: Tier) -> int:
    return sum(each.size_bytes for each in objects if each.tier is tier)


def _most_wanted(each: Placed) -> tuple[float, str]:
    return -each.demand_per_byte, each.key
