"""The audit of one disk: every object is checked, one that is damaged is put away, an old file made new.

    for step in audit(member):     # an int: bytes that were read or written, to be paid for
        …                          # a Finding: what became of one object

It goes by name, which is in no order of anything else, and writes down after each folder how far it has
come (`audit.json` on the disk), so that a box that is restarted every day comes to the last object too.
"""

import errno
import os
from collections.abc import Callable, Generator, Iterator
from dataclasses import replace
from pathlib import Path

import msgspec

from sluice_appliance.store.checking import LOST, Finding, Scratch, Verdict, check, is_current
from sluice_appliance.store.disks import DiskState
from sluice_appliance.store.errors import StoreError
from sluice_appliance.store.layout import BLOCK_BYTES, WITH_BLOCKS, ObjectHeader
from sluice_appliance.store.member import Member
from sluice_appliance.store.partial import PartialObject
from sluice_appliance.store.quarantine import QUARANTINE_FOLDER, put_away
from sluice_appliance.store.reading import open_object
from sluice_runtime.files import write_atomically
from sluice_runtime.logs import get_logger

log = get_logger(__name__)

# To open a file costs a disk that rotates what some hundred KiB in sequence do: a store of small objects
# is not to keep its arm busy for a budget meant for large ones.
OPENING_BYTES = 256 * 1024
_PROGRESS_FILE = "audit.json"


class Progress(msgspec.Struct, frozen=True):
    """How far the audit of a disk has come."""

    # The last folder that was done; empty where a pass begins.
    folder: str = ""


def audit(
    member: Member, *, resume: bool = True, may_write: Callable[[int], bool] = lambda size: True
) -> Iterator[int | Finding]:
    """One pass, from where the last one was cut off if `resume`. Ends early where the disk fails.
    `may_write` is asked before an old file of so many bytes is made new."""
    scratch = Scratch()
    done = _read_progress(member).folder if resume else ""
    for folder in member.folders():
        if folder <= done:
            continue
        for name in member.names(folder):
            if member.state is DiskState.FAILED:
                return
            yield OPENING_BYTES
            finding = yield from check(member.path(name), scratch)
            yield (yield from settle(member, finding, may_write))
        if resume:
            _write_progress(member, Progress(folder))
    if resume:
        _write_progress(member, Progress())


def recheck(member: Member, path: str, suspect_byte: int) -> Iterator[int | Finding]:
    """One file that could not be read at that byte, as `audit` would; what is sound stays as it is."""
    yield OPENING_BYTES
    finding = yield from check(path, Scratch(), suspect_byte=suspect_byte)
    yield _put_away(member, finding) if finding.verdict in LOST else finding


def settle(
    member: Member, finding: Finding, may_write: Callable[[int], bool] = lambda size: True
) -> Generator[int, None, Finding]:
    """Does what a finding asks for; returns what is to be told of it."""
    if finding.verdict in LOST:
        return _put_away(member, finding)
    if finding.verdict is Verdict.SOUND and finding.version != WITH_BLOCKS:
        assert finding.header is not None, "a sound file says what it is"
        if may_write(finding.header.size_bytes):
            return (yield from _upgrade(member, finding, finding.header))
    return finding


def _put_away(member: Member, finding: Finding) -> Finding:
    """Bytes that rot are the disk's errors as those are that it does not give."""
    if not is_current(finding):
        return replace(finding, verdict=Verdict.GONE)
    name = os.path.basename(finding.path)
    log.error(
        "object_damaged",
        path=finding.path,
        key=finding.header.key if finding.header else None,
        verdict=finding.verdict.value,
        reason=finding.reason,
    )
    if member.state is not DiskState.IN_USE:
        # Where nothing can be written it stays, and who asks for it gets what it is.
        return finding
    try:
        if not put_away(member, finding.path):
            member.discarded += 1
            log.error(
                "quarantine_full",
                folder=f"{member.root}/{QUARANTINE_FOLDER}",
                removed=finding.path,
                to_do="look at what is there, replace the disk if it goes on, and empty the folder",
            )
    except FileNotFoundError:
        # Two looked at it at once: serving's suspicion, and the audit.
        return replace(finding, verdict=Verdict.GONE)
    except OSError as error:
        member.failed_at(error, name)
    else:
        if finding.header is not None:
            member.let_go(finding.header.size_bytes)
    member.failed_at(OSError(errno.EIO, finding.reason), name)
    return finding


def _upgrade(
    member: Member, finding: Finding, header: ObjectHeader
) -> Generator[int, None, Finding]:
    """Writes the file anew with digests of its blocks, not under `partial/`, where nobody would wait for
    it; then it replaces the old one: a power cut leaves one or the other. Where there is no room for both, it stays what it is."""
    try:
        if member.state is not DiskState.IN_USE or not member.has_room_beside(header.size_bytes):
            return finding
        partial = PartialObject(member.root, header, member.disk, path=member.upgrade_path)
        try:
            with open_object(finding.path) as there:
                for start in range(partial.received_bytes, header.size_bytes, BLOCK_BYTES):
                    data = there.read(start, min(BLOCK_BYTES, header.size_bytes - start))
                    partial.write(data)
                    yield 2 * len(data)
            if not is_current(finding):
                partial.discard()
                return replace(finding, verdict=Verdict.GONE)
            partial.publish()
        except StoreError:
            partial.discard()
            raise
        finally:
            partial.close()
    except FileNotFoundError:
        return replace(finding, verdict=Verdict.GONE)
    except OSError as error:
        member.failed_at(error, os.path.basename(finding.path))
        return finding
    except StoreError as error:
        log.warning("object_not_upgraded", path=finding.path, reason=str(error))
        return finding
    return replace(finding, verdict=Verdict.UPGRADED, version=WITH_BLOCKS)


def _read_progress(member: Member) -> Progress:
    try:
        written = Path(member.root, _PROGRESS_FILE).read_bytes()
        return msgspec.json.decode(written, type=Progress)
    except (OSError, msgspec.DecodeError):
        return Progress()


def _write_progress(member: Member, progress: Progress) -> None:
    if member.state is not DiskState.IN_USE:
        return
    try:
        write_atomically(Path(member.root, _PROGRESS_FILE), msgspec.json.encode(progress))
    except OSError as error:
        member.failed_at(error, _PROGRESS_FILE)
