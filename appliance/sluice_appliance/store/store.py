"""The objects of one appliance. Whatever is under `objects/` of a disk is whole and was verified.

    lock       owned by the one process that may change the store; each disk has one
    disks.json which disks are the store's; a disk has `disk.json`, which says whose it is
    objects/   what is served, where `layout.object_path` says
    partial/   what is on its way in

The store's folder is its one disk where no others are named. An object stands on one disk of its tier
(`rendezvous.py`), and may stand on the other tier too. The file systems are the index: nothing is read at
the start but what is under `partial/`. A disk that fails takes only its own objects with it. Everything
here blocks; asyncio speaks to it through `store.threaded`.
"""

import errno
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from math import inf
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from sluice_appliance.store.auditing import audit, recheck
from sluice_appliance.store.checking import Finding
from sluice_appliance.store.disk import Disk, RealDisk
from sluice_appliance.store.disks import DiskPlace, DiskSpec, DiskState, DiskStatus, Tier
from sluice_appliance.store.errors import StoreError
from sluice_appliance.store.layout import (
    BODY_OFFSET,
    OBJECTS_FOLDER,
    ObjectHeader,
    ObjectKey,
    check_header,
    is_name,
    object_name,
)
from sluice_appliance.store.member import Member, take_lock
from sluice_appliance.store.membership import remember_failed
from sluice_appliance.store.opening import known_specs, open_members, reopen
from sluice_appliance.store.partial import PartialObject
from sluice_appliance.store.rebuilding import rebuild
from sluice_appliance.store.rendezvous import rank
from sluice_runtime.logs import get_logger

log = get_logger(__name__)

T = TypeVar("T")

# Of a store of one folder nobody said how much it may hold.
_NO_LIMIT_BYTES = 2**63 - 1


class Store:
    """Open it with `Store.open`, in one process at a time."""

    def __init__(self, root: str, lock: int) -> None:
        self.root = root
        self._lock = lock
        self._members: list[Member] = []
        self._specs: dict[str, DiskSpec] = {}
        # Disks of which the store's folder says that they are left alone.
        self._remembered: set[str] = set()
        self._disk: Disk = RealDisk()
        self._clock: Callable[[], float] = float
        # Between the look for room and the promise of it nobody else may look.
        self._choosing = threading.Lock()

    @classmethod
    def open(cls, root: Path, specs: Sequence[DiskSpec] = (), *, disk: Disk | None = None) -> Self:
        """Makes the folders and takes the locks. Without `specs` the disks are those that the store had
        before. Raises StoreInUse, DiskRefused, OSError."""
        disk = disk or RealDisk()
        root = root.absolute()
        disk.make_folder(str(root))
        store = cls(str(root), take_lock(root / "lock"))
        try:
            specs = specs or known_specs(root)
            store._disk = disk
            store._specs = {str(spec.path.absolute()): spec for spec in specs}
            if specs:
                store._members = open_members(root, specs, disk)
                store._remembered = {m.place.disk_id for m in store._members if m.is_bad}
            else:
                place = DiskPlace(str(root), "", capacity_bytes=_NO_LIMIT_BYTES)
                store._members = [Member(place, disk)]
                store._members[0].open(shared_lock=True)
        except BaseException:
            store.close()
            raise
        return store

    def tell(self) -> None:
        """A line of log for each disk, and one for objects from before disks were named: they are held
        no more, and take room all the same."""
        for member in self._members:
            member.tell()
        folder = f"{self.root}/{OBJECTS_FOLDER}"
        if all(member.root != self.root for member in self._members) and os.path.isdir(folder):
            log.warning("objects_left_behind", folder=folder, to_use_them="name it as a disk")

    def close(self) -> None:
        """Gives the locks back."""
        self._remember_failed()
        for member in self._members:
            member.close()
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    # --- disks ------------------------------------------------------------------------------------

    def disks(self) -> tuple[DiskStatus, ...]:
        """In the order of the configuration."""
        return tuple(member.status() for member in self._members)

    def go_by(self, clock: Callable[[], float]) -> None:
        """The clock by which errors are forgotten; without one, none are."""
        self._clock = clock
        for member in self._members:
            member.clock = clock

    def places(self) -> tuple[DiskPlace, ...]:
        """Where objects may be: what serving workers are told."""
        return tuple(member.place for member in self._readable())

    def look_at_disks(self) -> tuple[DiskStatus, ...]:
        """Asks each disk whether it still is one: a mount that is gone, a file system that was made
        read-only, one that takes no write. One that was not there is taken in where it is there now."""
        for number, member in enumerate(self._members):
            if member.is_absent:
                self._members[number] = self._take_in(member)
            else:
                member.look()
        self._remember_failed()
        return self.disks()

    def _remember_failed(self) -> None:
        """So that a disk that gave errors is left alone after a restart too."""
        bad = {
            member.place.disk_id: member.reason
            for member in self._members
            if member.is_bad and member.place.disk_id not in self._remembered
        }
        if not bad or not self._specs:
            return
        try:
            remember_failed(Path(self.root), bad)
        except (StoreError, OSError) as error:
            log.error("disk_failure_unkept", disks=sorted(bad.values()), reason=str(error))
        else:
            self._remembered.update(bad)
            log.warning(
                "disk_left_alone",
                disks=[member.root for member in self._members if member.place.disk_id in bad],
                to_do="replace it; `sluice-appliance store readmit` has it used again as it is",
            )

    def _take_in(self, absent: Member) -> Member:
        spec = self._specs.get(absent.root)
        if spec is None:
            return absent
        others = {member.place.disk_id for member in self._members if member is not absent}
        try:
            member = reopen(Path(self.root), spec, absent, others, self._disk)
        except (StoreError, OSError) as error:
            absent.tell_reason(str(error))
            return absent
        if member is None:
            return absent
        member.clock = self._clock
        member.tell()
        return member

    # --- what is held -----------------------------------------------------------------------------

    def held(self, key: ObjectKey, tier: Tier | None = None) -> ObjectHeader | None:
        """What is held under `key`; None for nothing, and for a file that is damaged or on a disk that
        fails."""
        found = self._find(object_name(key), tier)
        return None if found is None else found[1]

    def path_of(self, key: ObjectKey, tier: Tier | None = None) -> str:
        """The file of an object that is held. Raises FileNotFoundError."""
        name = object_name(key)
        found = self._find(name, tier)
        if found is None:
            raise FileNotFoundError(errno.ENOENT, f"{key} is not held")
        return found[0].path(name)

    def scan(self, disk: str | None = None) -> Iterator[ObjectHeader]:
        """Everything held, in no order, by one disk or all: what stands on two comes twice. A damaged
        file is passed over, and so is what a failing disk does not tell."""
        for member in self._readable():
            if disk is None or member.root == disk:
                yield from _told_by(member, member.scan())

    def delete(self, key: ObjectKey, tier: Tier | None = None) -> None:
        """Lets an object go, from everywhere or from one tier. Not synced: one that comes back after a
        power cut is whole. Raises OSError."""
        name = object_name(key)
        for member in self._ranked(name, tier):
            if member.state is DiskState.IN_USE:
                self._delete_from(member, name)

    # --- whether it is still what it was ----------------------------------------------------------

    def audit(
        self,
        disk: str,
        *,
        resume: bool = True,
        may_write: Callable[[int], bool] = lambda size: True,
    ) -> Iterator[int | Finding]:
        """Checks every object of a disk, puts away what is damaged and makes old files new. Each `next`
        is a short piece of work: the bytes that it took of the disk, or what became of an object."""
        return audit(self._named(disk), resume=resume, may_write=may_write)

    def recheck(self, path: str, suspect_byte: int) -> Iterator[int | Finding]:
        """Checks one file of which a byte could not be read, and puts it away where it is damaged. Nothing
        for what is no object's file on a disk in use."""
        name = os.path.basename(path)
        for member in self._readable():
            if is_name(name) and member.path(name) == path:
                yield from recheck(member, path, suspect_byte)

    def rebuild(self, disk: str) -> Iterator[int | Finding]:
        """`audit` from the first object to the last; before it, objects that lie under a wrong name are
        brought to where they are looked for."""
        return rebuild(self._named(disk))

    def _named(self, disk: str) -> Member:
        return next(member for member in self._members if member.root == disk)

    # --- what comes in ----------------------------------------------------------------------------

    def begin(
        self,
        key: ObjectKey,
        size_bytes: int,
        sha256: bytes,
        content_type: str,
        *,
        tier: Tier | None = None,
        block_digests: bytes | None = None,
        more_bytes: float = inf,
    ) -> PartialObject:
        """Goes on with an object or starts it, on the disk of the tier that it belongs on and that has
        room; of the fastest tier that has, where none is named. The room is the object's until it is
        published or closed. `more_bytes`: so much of it may come now, which will do where no disk has room
        for all of it.

        Raises LayoutError for an object that cannot be, OSError, which is ENOSPC where there is no room.
        """
        header = ObjectHeader(key, size_bytes, sha256, content_type)
        check_header(header)
        name = object_name(key)
        with self._choosing:
            member, room_bytes = self._disk_for(header, tier, more_bytes)
            path = member.partial(header)
            member.promises.give(path, room_bytes)
        try:
            there = member.read(name)
            replaced_bytes = there.size_bytes if there is not None else 0
            return PartialObject(
                member.root,
                header,
                member.disk,
                block_digests=block_digests,
                published=lambda: self._published(member, header, replaced_bytes),
                closed=lambda: self._give_back(member, path),
                failed=lambda error: member.failed_at(error, name),
            )
        except BaseException as error:
            self._give_back(member, path)
            if isinstance(error, OSError):
                member.failed_at(error, name)
            raise

    def partials(self, disk: str | None = None) -> Iterator[tuple[ObjectHeader, int]]:
        """What is on its way in, and how much of it takes room already."""
        for member in self._readable():
            if disk is None or member.root == disk:
                yield from _told_by(member, member.partials())

    def forget_partial(self, header: ObjectHeader) -> None:
        """Removes what was received of an object that nobody wants any more."""
        for member in self._usable():
            member.disk.remove(member.partial(header))

    def _disk_for(
        self, header: ObjectHeader, tier: Tier | None, more_bytes: float
    ) -> tuple[Member, int]:
        """With the room that it has there."""
        ranked = [
            member
            for member in self._ranked(object_name(header.key), tier)
            if member.state is DiskState.IN_USE
        ]
        # Where it began first.
        begun = [member for member in ranked if os.path.exists(member.partial(header))]
        tries = [(member, more) for more in (inf, more_bytes) for member in begun]
        tries += [(member, more) for more in (inf, more_bytes) for member in ranked]
        for member, more in tries:
            try:
                room_bytes = member.room_for(header, more)
            except OSError as error:
                member.failed_at(error)
                continue
            if room_bytes is not None:
                return member, room_bytes
        where = f"no disk of tier {tier.value}" if tier else "no disk"
        raise OSError(errno.ENOSPC, f"{where} has room for {header.size_bytes} bytes")

    def _give_back(self, member: Member, path: str) -> None:
        with self._choosing:
            member.promises.take_back(path)

    def _published(self, member: Member, header: ObjectHeader, replaced_bytes: int) -> None:
        """What else stands under the key and is another object would be found before this one."""
        member.stored_bytes += header.size_bytes - replaced_bytes
        name = object_name(header.key)
        for other in self._usable():
            if other is not member:
                there = other.read(name)
                if there is not None and there.sha256 != header.sha256:
                    self._delete_from(other, name)

    def _delete_from(self, member: Member, name: str) -> None:
        try:
            there = member.read(name)
            size_bytes = os.stat(member.path(name)).st_size - BODY_OFFSET
            member.disk.remove(member.path(name))
        except FileNotFoundError:
            return
        except OSError as error:
            member.failed_at(error, name)
            raise
        member.let_go(size_bytes if there is None else there.size_bytes)

    def _find(self, name: str, tier: Tier | None) -> tuple[Member, ObjectHeader] | None:
        for member in self._ranked(name, tier):
            try:
                header = member.read(name)
            except OSError as error:
                member.failed_at(error, name)
                continue
            if header is not None:
                return member, header
        return None

    def _ranked(self, name: str, tier: Tier | None) -> list[Member]:
        readable = [m for m in self._readable() if tier is None or m.place.tier is tier]
        by_place = {member.place: member for member in readable}
        return [by_place[place] for place in rank(name, list(by_place))]

    def _readable(self) -> list[Member]:
        return [member for member in self._members if member.state is not DiskState.FAILED]

    def _usable(self) -> list[Member]:
        return [member for member in self._members if member.state is DiskState.IN_USE]


def _told_by(member: Member, items: Iterator[T]) -> Iterator[T]:
    """Ends where the disk fails."""
    try:
        yield from items
    except OSError as error:
        member.failed_at(error)
