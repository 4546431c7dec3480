"""Every operation that changes a store of several disks, and what must be true of it whatever fails.

As a program it does one of them, and kills itself with SIGKILL before, or after, the n-th step on disk.
"""

import argparse
import hashlib
import os
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from appliance.store.damage import DAMAGE, put_version_1
from appliance.store.failing_disk import FailingDisk, kill_this_process

from sluice_appliance.object_key import ObjectKey, parse_key
from sluice_appliance.store.blocks import block_digests
from sluice_appliance.store.disk import Disk
from sluice_appliance.store.disks import DiskSpec, Tier
from sluice_appliance.store.layout import BLOCK_BYTES, LayoutError
from sluice_appliance.store.moving import move
from sluice_appliance.store.reading import open_object
from sluice_appliance.store.store import Store

KEY = parse_key("film/v1/h264-720p.mp4")
OTHER = parse_key("film/v1/other.mp4")
BODY = random.Random(7).randbytes(BLOCK_BYTES + 100_000)
OLD = b"another version"
DIGESTS = block_digests(BODY)


def open_store(root: Path, disk: Disk | None = None) -> Store:
    """Two of flash and one that rotates."""
    specs = []
    for name, tier in (("a", Tier.SSD), ("b", Tier.SSD), ("c", Tier.HDD)):
        path = root / name
        path.mkdir(parents=True, exist_ok=True)
        specs.append(DiskSpec(path, 1 << 30, tier))
    return Store.open(root / "store", specs, disk=disk)


def put(store: Store, key: ObjectKey = KEY, body: bytes = BODY, tier: Tier | None = None) -> None:
    """With digests of its blocks, from the last to the first: the trailer is there before the body."""
    digests = block_digests(body)
    sha256 = hashlib.sha256(body).digest()
    partial = store.begin(key, len(body), sha256, "video/mp4", tier=tier, block_digests=digests)
    try:
        for span in reversed(partial.missing()):
            for start in reversed(range(span.start, span.end, BLOCK_BYTES)):
                partial.write_at(start, body[start : min(span.end, start + BLOCK_BYTES)])
        partial.publish()
    finally:
        partial.close()


def _nothing(store: Store) -> None:
    pass


def _put_old_on_every_tier(store: Store) -> None:
    put(store, KEY, OLD, Tier.SSD)
    put(store, KEY, OLD, Tier.HDD)


def _put_old_layout(store: Store) -> None:
    put_version_1(Path(store.places()[0].root), KEY, BODY)


def _put_damaged(store: Store) -> None:
    put(store)
    DAMAGE["a bit of the first block"](Path(store.path_of(KEY)))


def _put_elsewhere(store: Store) -> None:
    put(store)
    path = Path(store.path_of(KEY))
    lost = Path(store.places()[0].root, "objects", "lost+found")
    lost.mkdir(exist_ok=True)
    path.rename(lost / "#1")


def _audit(store: Store) -> None:
    for disk in store.disks():
        for _ in store.audit(disk.name):
            pass


def _move(store: Store) -> None:
    # False where its disk failed as the store was opened: it is held nowhere then.
    move(store, KEY, Tier.HDD)


def _rebuild(store: Store) -> None:
    for disk in store.disks():
        for _ in store.rebuild(disk.name):
            pass


@dataclass(frozen=True, slots=True)
class Operation:
    """`prepare` on a disk that works, `act` on one that fails."""

    prepare: Callable[[Store], None]
    act: Callable[[Store], None]
    # What may be found whole under the key in between; None for nothing.
    bodies: Sequence[bytes | None]
    # What is there in the end.
    leaves: bytes | None


OPERATIONS = {
    "put": Operation(_nothing, put, (None, BODY), BODY),
    "replace on both tiers": Operation(_put_old_on_every_tier, put, (OLD, BODY), BODY),
    "move": Operation(put, _move, (BODY,), BODY),
    "delete": Operation(put, lambda store: store.delete(KEY), (None, BODY), None),
    "upgrade": Operation(_put_old_layout, _audit, (BODY,), BODY),
    "put away": Operation(_put_damaged, _audit, (None,), None),
    "rebuild": Operation(_put_elsewhere, _rebuild, (None, BODY), BODY),
}


def bodies_of(store: Store, key: ObjectKey = KEY) -> set[bytes]:
    """Each that is held under a key, from every disk, whole by its page and read without its digests."""
    found = set()
    for tier in Tier:
        if store.held(key, tier) is not None:
            with open_object(store.path_of(key, tier)) as there:
                found.add(there.read(0, there.header.size_bytes))
    return found


def damaged_copies(root: Path) -> int:
    """Files that were damaged on purpose, wherever they are now."""
    count = 0
    for path in (*root.glob("?/objects/*/*"), *root.glob("?/quarantine/*")):
        try:
            with open_object(str(path)) as there:
                count += there.read(0, len(BODY))[1:] == BODY[1:] and there.read(0, 1) != BODY[:1]
        except (LayoutError, OSError):
            continue
    return count


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("root", type=Path)
    parser.add_argument("operation")
    arguments = parser.parse_args()
    operation = OPERATIONS[arguments.operation]
    for step in range(1, 200):
        ends = [
            _run_and_die(arguments.root / f"{step}-{after}", operation, step, after_doing_it=after)
            for after in (False, True)
        ]
        if ends == [0, 0]:
            return


def _run_and_die(root: Path, operation: Operation, step: int, *, after_doing_it: bool) -> int:
    """How the process ended, which `root/status` says too. A child of this one: a start costs a
    thousand times what a step does."""
    with open_store(root) as store:
        operation.prepare(store)
    child = os.fork()
    if child == 0:
        disk = FailingDisk(step, after_doing_it=after_doing_it, strike=kill_this_process)
        with open_store(root, disk) as store:
            operation.act(store)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    end = os.waitstatus_to_exitcode(status)
    (root / "status").write_text(str(end))
    return end


if __name__ == "__main__":
    main()
