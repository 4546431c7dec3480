"""Takes the disks of a configuration into a store: which are its own, which are new, which are gone."""

import errno
import os
import uuid
from collections.abc import Collection, Sequence
from pathlib import Path

from sluice_appliance.store import membership
from sluice_appliance.store.disk import Disk
from sluice_appliance.store.disks import DiskPlace, DiskSpec, DiskState, Tier
from sluice_appliance.store.errors import DiskRefused
from sluice_appliance.store.member import Member
from sluice_appliance.store.membership import Identity, KnownDisk, Record
from sluice_appliance.store.rotational import tier_of


def known_specs(root: Path) -> tuple[DiskSpec, ...]:
    """The disks that the store had when it was last opened with a configuration; none for a store of
    one folder. Raises DiskRefused, OSError."""
    record = membership.read_record(root)
    return tuple(
        DiskSpec(root / known.path, known.capacity_bytes, Tier(known.tier))
        for known in (record.disks if record else ())
    )


def open_members(root: Path, specs: Sequence[DiskSpec], disk: Disk) -> list[Member]:
    """One for each spec; those that cannot be used stand as failed or read-only, with the reason.

    Raises DiskRefused for a folder that is no disk of this store, and for a new one that is not there;
    StoreInUse, OSError.
    """
    membership.refuse_twins([spec.path for spec in specs])
    record = membership.read_record(root)
    if record is None:
        # Before any disk says that it is this store's: a start that fails leaves none that is nobody's.
        record = Record(uuid.uuid4().hex)
        membership.write_record(root, record)
    by_path = {str(root.absolute() / known.path): known for known in record.disks}
    members: list[Member] = []
    try:
        for spec in specs:
            known = by_path.get(str(spec.path.absolute()))
            members.append(_open(root, spec, known, record.store, disk))
        _refuse_copies(members)
        disks = tuple(_known(root, member, by_path.get(member.root)) for member in members)
        membership.write_record(root, Record(record.store, disks))
    except BaseException:
        for member in members:
            member.close()
        raise
    return members


def reopen(
    root: Path, spec: DiskSpec, absent: Member, others: Collection[str], disk: Disk
) -> Member | None:
    """A disk that was not there, or another in its place; None while none is. `others`: the identities
    of the store's other disks. Raises DiskRefused, StoreInUse, OSError."""
    record = membership.read_record(root)
    assert record is not None, "a store of several disks has written them down"
    folder = spec.path.absolute()
    by_path = {str(root.absolute() / known.path): known for known in record.disks}
    known = by_path.get(str(folder))
    if membership.read_identity(folder) is None and _why_not_new(folder, known):
        return None
    # Its lock is held still where it was pulled and is the same disk.
    absent.close()
    member = _open(root, spec, known, record.store, disk)
    if member.state is DiskState.FAILED or member.place.disk_id in others:
        member.close()
        if member.place.disk_id in others:
            raise DiskRefused(f"{folder} is a copy of another disk of the store")
        raise DiskRefused(f"{folder}: {member.reason}")
    by_path[str(folder)] = _known(root, member, known)
    membership.write_record(root, Record(record.store, tuple(by_path.values())))
    return member


def _open(root: Path, spec: DiskSpec, known: KnownDisk | None, store_id: str, disk: Disk) -> Member:
    folder = spec.path.absolute()
    reason, identity, is_absent = "", None, False
    try:
        identity = membership.read_identity(folder)
        if identity is None:
            reason = _why_not_new(folder, known)
            is_absent = bool(reason)
    except OSError as error:
        reason = error.strerror or str(error)
    if reason and known is None:
        raise DiskRefused(f"{folder}: {reason}")
    if identity is not None and identity.store != store_id:
        raise DiskRefused(
            f"{folder} is a disk of another store ({identity.store}), not of {root} ({store_id});"
            f" remove its {membership.IDENTITY_FILE} to give it to this one"
        )
    if identity is None and not reason:
        identity = Identity(store_id, uuid.uuid4().hex)
        membership.write_identity(folder, identity)
    disk_id = identity.disk if identity else (known.disk if known else "")
    tier, said_by = _class(spec, known)
    place = DiskPlace(str(folder), disk_id, tier, spec.capacity_bytes)
    member = Member(place, disk, tier_said_by=said_by)
    if reason:
        member.fail(reason, is_absent=is_absent)
        return member
    if known is not None and known.failed and known.disk == disk_id:
        # What the disk says now is no reason to trust it: bad sectors are well until they are read.
        member.fail(known.failed, is_bad=True)
        return member
    try:
        member.open(shared_lock=_is_same(folder, root))
    except OSError as error:
        member.close()
        _stand_aside(member, error)
    return member


def _stand_aside(member: Member, error: OSError) -> None:
    reason = error.strerror or str(error)
    if error.errno == errno.EROFS:
        try:
            member.open_read_only("the file system is read-only")
        except OSError as worse:
            reason = worse.strerror or str(worse)
        else:
            return
    member.fail(reason)


def _why_not_new(folder: Path, known: KnownDisk | None) -> str:
    """Why a folder without an identity cannot be taken in; empty where it can."""
    if not folder.is_dir():
        return "no such folder"
    if known is not None and known.mounted and not membership.is_mount_point(folder):
        return "the disk is not mounted"
    return ""


def _class(spec: DiskSpec, known: KnownDisk | None) -> tuple[Tier, str]:
    """What kind of disk it is, and who says so."""
    if spec.tier is not None:
        return spec.tier, "configuration"
    try:
        tier = tier_of(spec.path)
    except OSError:
        tier = Tier(known.tier) if known else None
    return (Tier.SSD, "nobody") if tier is None else (tier, "kernel")


def _known(root: Path, member: Member, before: KnownDisk | None) -> KnownDisk:
    place, folder = member.place, Path(member.root)
    mounted = membership.is_mount_point(folder) or bool(before and before.mounted)
    path = "." if folder == root.absolute() else member.root
    failed = member.reason if member.is_bad else ""
    if not failed and member.is_absent and before is not None:
        # It may come back.
        failed = before.failed
    return KnownDisk(path, place.disk_id, place.tier.value, place.capacity_bytes, mounted, failed)


def _refuse_copies(members: Sequence[Member]) -> None:
    seen: dict[str, str] = {}
    for member in members:
        twin = seen.setdefault(member.place.disk_id, member.root)
        if twin != member.root:
            raise DiskRefused(
                f"{member.root} says that it is {twin}: it was copied from it;"
                f" remove its {membership.IDENTITY_FILE} to make it a disk of its own"
            )


def _is_same(folder: Path, root: Path) -> bool:
    return os.path.samefile(folder, root)
