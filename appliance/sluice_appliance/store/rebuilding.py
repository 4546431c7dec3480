"""Brings a disk's objects to where they are looked for, whatever their files are called: they say what they are.

For what was found in `lost+found` or copied from a dying disk by hand: put it anywhere under `objects/`, and
rebuild.
"""

import os
from collections.abc import Iterator

from sluice_appliance.store.auditing import audit
from sluice_appliance.store.checking import Finding
from sluice_appliance.store.layout import OBJECTS_FOLDER, ObjectHeader, object_name
from sluice_appliance.store.member import Member, read_object


def rebuild(member: Member) -> Iterator[int | Finding]:
    """Yields as `auditing.audit` does."""
    for path in _misnamed(member):
        _bring_home(member, path)
        yield 0
    yield from audit(member, resume=False)


def _misnamed(member: Member) -> list[str]:
    """Every file under `objects/` that is not where an object of its name would be."""
    found = []
    for folder, _, names in os.walk(f"{member.root}/{OBJECTS_FOLDER}"):
        for name in names:
            path = f"{folder}/{name}"
            header = _header(path)
            if header is not None and member.path(object_name(header.key)) != path:
                found.append(path)
    return found


def _bring_home(member: Member, path: str) -> None:
    """Whether it is sound the audit finds out. What is held already under the key stays."""
    header = _header(path)
    if header is None:
        return
    target = member.path(object_name(header.key))
    if os.path.lexists(target):
        return
    folder = os.path.dirname(target)
    if not os.path.isdir(folder):
        member.disk.make_folder(folder)
        member.disk.sync_folder(os.path.dirname(folder))
    member.disk.rename(path, target)
    member.disk.sync_folder(folder)


def _header(path: str) -> ObjectHeader | None:
    """None for what cannot be read, which the audit tells of where it stands in an object's place."""
    try:
        return None if os.path.islink(path) else read_object(path)
    except OSError:
        return None
