"""Which disk an object belongs on: weighted rendezvous hashing (Thaler and Ravishankar 1998).

Each disk draws, for each object, a number that depends on nothing but the two, and the highest stands
first. So nothing has to be indexed, a disk that dies moves only what it held, and one that comes takes
only its share. A disk of twice the capacity stands first twice as often: its draw is `capacity / -ln(u)`
for a uniform u, the first of independent exponential arrivals. 1.5 us a disk.
"""

import hashlib
import math
from collections.abc import Sequence

from sluice_appliance.store.disks import DiskPlace, Tier

_FASTEST_FIRST = {tier: place for place, tier in enumerate(Tier)}
# A float holds these bits and a half exactly, so u is never 0 or 1.
_UNIFORM_BITS = 52


def rank(name: str, disks: Sequence[DiskPlace]) -> Sequence[DiskPlace]:
    """In which order the object of this name (`layout.object_name`) is looked for: the fastest tier
    first, and in a tier the disk first on which it belongs. The order of `disks` is irrelevant."""
    if len(disks) == 1:
        return disks
    return sorted(disks, key=lambda disk: _place(name, disk))


def _place(name: str, disk: DiskPlace) -> tuple[int, float, str]:
    # The id breaks a tie, which two draws of 52 bits make once in 10**15.
    return (_FASTEST_FIRST[disk.tier], -_draw(name, disk), disk.disk_id)


def _draw(name: str, disk: DiskPlace) -> float:
    digest = hashlib.blake2b(f"{name}/{disk.disk_id}".encode(), digest_size=8).digest()
    uniform_bits = int.from_bytes(digest, "big") >> (64 - _UNIFORM_BITS)
    uniform = (uniform_bits + 0.5) / 2.0**_UNIFORM_BITS
    return disk.capacity_bytes / -math.log(uniform)
