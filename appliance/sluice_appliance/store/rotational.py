"""What kind of disk a folder stands on, by the kernel's rotational flag."""

import os
from pathlib import Path

from sluice_appliance.store.disks import Tier

_BLOCK_DEVICES = Path("/sys/dev/block")


def tier_of(folder: Path, *, devices: Path = _BLOCK_DEVICES) -> Tier | None:
    """None where the kernel does not say: memory, overlays, networks, loop devices. Raises OSError."""
    number = os.stat(folder).st_dev
    return tier_of_device(os.major(number), os.minor(number), devices=devices)


def tier_of_device(major: int, minor: int, *, devices: Path = _BLOCK_DEVICES) -> Tier | None:
    """A partition is of its disk's kind, whose folder holds the partition's."""
    device = (devices / f"{major}:{minor}").resolve()
    if device.name.startswith(("loop", "ram", "zram")):
        return None
    for folder in (device, device.parent):
        try:
            flag = (folder / "queue" / "rotational").read_text().strip()
        except OSError:
            continue
        return Tier.HDD if flag == "1" else Tier.SSD
    return None
