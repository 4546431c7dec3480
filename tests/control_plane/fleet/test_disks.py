"""What appliances tell of their disks."""

import pytest

from sluice.fill.v1 import fill_pb2
from sluice_control_plane.errors import InvalidRequest
from sluice_control_plane.fleet.disks import DISKS_MAX, disks_of, failed_anew, unfilled

SSD, IN_USE = fill_pb2.DISK_TIER_SSD, fill_pb2.DISK_STATE_IN_USE
FAILED, READ_ONLY = fill_pb2.DISK_STATE_FAILED, fill_pb2.DISK_STATE_READ_ONLY


def _report(
    name: str, state: fill_pb2.DiskState.ValueType = IN_USE, stored: int = 0
) -> fill_pb2.DiskReport:
    return fill_pb2.DiskReport(
        disk=name, tier=SSD, state=state, capacity_bytes=10, stored_bytes=stored
    )


def test_each_failure_is_told_once_and_again_after_the_disk_was_replaced() -> None:
    told = []
    before = disks_of([])
    for one, other in ((IN_USE, IN_USE), (FAILED, READ_ONLY), (FAILED, FAILED), (IN_USE, FAILED)):
        now = disks_of([_report("one", one), _report("other", other)])
        told.append([disk.name for disk in failed_anew(before, now)])
        before = now
    again = disks_of([_report("one", FAILED), _report("other", FAILED)])
    assert [*told, [disk.name for disk in failed_anew(before, again)]] == [
        [],
        ["one"],
        ["other"],
        [],
        ["one"],
    ]


def test_how_full_a_disk_is_is_not_worth_keeping() -> None:
    one, other = disks_of([_report("one", stored=1)]), disks_of([_report("one", stored=2)])
    assert one != other
    assert unfilled(one) == unfilled(other)
    assert unfilled(one) != unfilled(disks_of([_report("one", FAILED)]))


def test_a_state_that_is_newer_than_ours_is_taken_as_not_said() -> None:
    report = fill_pb2.DiskReport(disk="one", tier=77, state=88)  # type: ignore[arg-type]
    (disk,) = disks_of([report])
    assert (disk.tier, disk.state, disk.failed) == (0, 0, False)


@pytest.mark.parametrize(
    ("reports", "words"),
    [
        ([_report("")], "disks.disk is ''"),
        ([_report("a\nb")], "printable"),
        ([_report("one"), _report("one")], "'one' twice"),
        ([_report("one", stored=-1)], "disks.stored_bytes is -1"),
        ([_report(str(n)) for n in range(DISKS_MAX + 1)], "257 disks, expected at most 256"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_disks_that_no_appliance_has_are_refused(
    reports: list[fill_pb2.DiskReport], words: str
) -> None:
    with pytest.raises(InvalidRequest, match=words):
        disks_of(reports)
