"""What kind of disk the kernel says it is, in a `/sys` of our own."""

from pathlib import Path

import pytest

from sluice_appliance.store.disks import Tier
from sluice_appliance.store.rotational import tier_of, tier_of_device


@pytest.fixture
def devices(tmp_path: Path) -> Path:
    """`sda` rotates and has a partition, `nvme0n1` does not, `loop0` says that it does."""
    block = tmp_path / "block"
    numbers = tmp_path / "dev"
    numbers.mkdir()
    for name, flag in (("sda", "1"), ("nvme0n1", "0"), ("loop0", "1")):
        (block / name / "queue").mkdir(parents=True)
        (block / name / "queue" / "rotational").write_text(f"{flag}\n")
    (block / "sda" / "sda1").mkdir()
    for number, path in (
        ("8:0", "sda"),
        ("8:1", "sda/sda1"),
        ("259:0", "nvme0n1"),
        ("7:0", "loop0"),
    ):
        (numbers / number).symlink_to(block / path)
    return numbers


@pytest.mark.parametrize(
    ("major", "minor", "tier"),
    [(8, 0, Tier.HDD), (8, 1, Tier.HDD), (259, 0, Tier.SSD), (7, 0, None), (0, 42, None)],
)
def test_a_disk_and_its_partitions_are_of_the_kind_that_the_kernel_says(
    devices: Path, major: int, minor: int, tier: Tier | None
) -> None:
    assert tier_of_device(major, minor, devices=devices) is tier


def test_the_kernel_of_this_machine_can_be_asked(tmp_path: Path) -> None:
    assert tier_of(tmp_path) in (None, *Tier)
