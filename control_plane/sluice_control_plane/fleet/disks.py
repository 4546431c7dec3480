"""Decides which of an appliance's words about its disks are right, and which disks have failed anew. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from sluice.fill.v1 import fill_pb2
from sluice_control_plane.errors import InvalidRequest
from sluice_control_plane.fleet.appliances import check_not_negative
from sluice_control_plane.resource_names import shown

# A shelf of 4 U has some sixty.
DISKS_MAX = 256
NAME_CHARACTERS_MAX = 128
REASON_CHARACTERS_MAX = 500

_FAILED = fill_pb2.DISK_STATE_FAILED
_NO_TIER = fill_pb2.DISK_TIER_UNSPECIFIED
_NO_STATE = fill_pb2.DISK_STATE_UNSPECIFIED


@dataclass(frozen=True, slots=True)
class Disk:
    """One disk as its appliance told of it; a tier or state that is newer than ours counts as not said."""

    name: str
    tier: fill_pb2.DiskTier.ValueType
    state: fill_pb2.DiskState.ValueType
    reason: str
    capacity_bytes: int
    stored_bytes: int

    @property
    def failed(self) -> bool:
        return self.state == _FAILED


def disks_of(reports: Sequence[fill_pb2.DiskReport]) -> tuple[Disk, ...]:
    """Raises InvalidRequest."""
    if len(reports) > DISKS_MAX:
        raise InvalidRequest(f"{len(reports)} disks, expected at most {DISKS_MAX}")
    names: set[str] = set()
    for report in reports:
        if not 1 <= len(report.disk) <= NAME_CHARACTERS_MAX or not report.disk.isprintable():
            raise InvalidRequest(
                f"disks.disk is {shown(report.disk)}, expected 1..{NAME_CHARACTERS_MAX} printable "
                "characters"
            )
        if report.disk in names:
            raise InvalidRequest(f"disks has {shown(report.disk)} twice")
        names.add(report.disk)
        check_not_negative("disks.capacity_bytes", report.capacity_bytes)
        check_not_negative("disks.stored_bytes", report.stored_bytes)
    return tuple(
        Disk(
            each.disk,
            each.tier if each.tier in fill_pb2.DiskTier.values() else _NO_TIER,
            each.state if each.state in fill_pb2.DiskState.values() else _NO_STATE,
            each.reason[:REASON_CHARACTERS_MAX],
            each.capacity_bytes,
            each.stored_bytes,
        )
        for each in reports
    )


def failed_anew(before: Iterable[Disk], now: Iterable[Disk]) -> list[Disk]:
    """Those that failed and had not when it was told last: each failure is told once."""
    known = {disk.name for disk in before if disk.failed}
    return [disk for disk in now if disk.failed and disk.name not in known]


def unfilled(disks: Iterable[Disk]) -> list[Disk]:
    """But for how full they are: what is worth keeping."""
    return sorted((replace(disk, stored_bytes=0) for disk in disks), key=lambda disk: disk.name)


def on_the_wire(disk: Disk) -> fill_pb2.DiskReport:
    return fill_pb2.DiskReport(
        disk=disk.name,
        tier=disk.tier,
        state=disk.state,
        reason=disk.reason,
        capacity_bytes=disk.capacity_bytes,
        stored_bytes=disk.stored_bytes,
    )
