"""Whatever step of whatever operation fails or is the last: no object is lost, and none is other than it was."""

import errno
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from appliance.store.failing_disk import FailingDisk
from appliance.store.operations import (
    BODY,
    KEY,
    OPERATIONS,
    bodies_of,
    damaged_copies,
    open_store,
    put,
)

from sluice_appliance.store.disks import DiskState
from sluice_appliance.store.partial import PartialObject
from sluice_appliance.store.store import Store

# What a disk does for a sync is not asked here: in memory the same steps take a fifth of the time.
_MEMORY = Path("/dev/shm")


@pytest.fixture
def folder() -> Iterator[Path]:
    """In memory where that can be."""
    with tempfile.TemporaryDirectory(dir=_MEMORY if _MEMORY.is_dir() else None) as path:
        yield Path(path)


every_operation = pytest.mark.parametrize("name", OPERATIONS)


def check_and_finish(root: Path, name: str) -> None:
    """What must be true after the fault, and that the next try gets through."""
    operation = OPERATIONS[name]
    with open_store(root) as store:
        # What is damaged may be held until the operation has ended: it is what the operation is for.
        if name == "put away":
            assert damaged_copies(root) == 1
        elif bodies := bodies_of(store):
            assert bodies <= set(operation.bodies)
        else:
            assert None in operation.bodies
        operation.act(store)
        assert bodies_of(store) == ({operation.leaves} if operation.leaves else set())
        if name == "put away":
            assert damaged_copies(root) == 1
            assert len(list(root.glob("?/quarantine/*"))) == 1
        assert [disk.state for disk in store.disks()] == 3 * [DiskState.IN_USE]
        assert list(store.partials()) == []
        assert not list(root.glob("?/upgrade"))


@every_operation
@pytest.mark.parametrize("after_doing_it", [False, True])
def test_whichever_step_of_an_operation_fails_nothing_is_lost_and_the_next_try_gets_through(
    folder: Path, name: str, after_doing_it: bool
) -> None:
    operation = OPERATIONS[name]
    for fail_at in range(1, 200):
        root = folder / str(fail_at)
        with open_store(root) as store:
            operation.prepare(store)
        disk = FailingDisk(fail_at, after_doing_it=after_doing_it)
        try:
            with open_store(root, disk) as store:
                operation.act(store)
        except OSError:
            assert disk.failed
        check_and_finish(root, name)
        if not disk.failed:
            break
    else:
        pytest.fail("the operation never got through")
    assert fail_at > 5


@every_operation
def test_a_process_killed_at_any_step_of_an_operation_loses_nothing(
    folder: Path, name: str
) -> None:
    words = [sys.executable, "-m", "appliance.store.operations", str(folder), name]
    tests = Path(__file__).parents[2]
    subprocess.run(words, cwd=tests, env=os.environ | _paths(), check=True, timeout=120)
    roots = list(folder.iterdir())
    ends = {int((root / "status").read_text()) for root in roots}
    assert ends == {0, -signal.SIGKILL}
    assert len(roots) > 10
    for root in roots:
        check_and_finish(root, name)


def _paths() -> dict[str, str]:
    return {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}


@contextmanager
def memory_disk(path: Path, *, size_bytes: int) -> Iterator[Path]:
    """A file system of so many bytes and not one more. Skips the test where none can be mounted."""
    if os.geteuid() != 0 or not shutil.which("mount"):
        pytest.skip("only root can mount a disk")
    path.mkdir()
    size = f"size={size_bytes}"
    subprocess.run(["mount", "-t", "tmpfs", "-o", size, "none", path], check=True)
    try:
        yield path
    finally:
        subprocess.run(["umount", "--lazy", path], check=True)


def test_a_disk_that_is_full_at_any_byte_of_an_object_loses_nothing_and_takes_it_once_there_is_room(
    tmp_path: Path,
) -> None:
    page = os.sysconf("SC_PAGE_SIZE")
    with memory_disk(tmp_path / "disk", size_bytes=8 << 20) as disk:
        refused = 0
        for free_pages in range(0, 400, 13):
            with Store.open(disk) as store:
                partial = store.begin(KEY, len(BODY), _sha256(), "video/mp4")
                ballast = disk / "ballast"
                room = os.statvfs(disk).f_bavail
                ballast.write_bytes(bytes(max(0, room - free_pages) * page))
                if not _published(partial):
                    refused += 1
                    assert store.held(KEY) is None
                    assert store.disks()[0].state is DiskState.IN_USE
                partial.close()
                ballast.unlink()
            with Store.open(disk) as store:
                put(store)
                assert bodies_of(store) == {BODY}
                store.delete(KEY)
        assert 10 < refused < 31


def _published(partial: PartialObject) -> bool:
    """False where the disk is full."""
    try:
        for start in range(0, len(BODY), 100_000):
            partial.write(BODY[start : start + 100_000])
        partial.publish()
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        return False
    return True


def _sha256() -> bytes:
    return hashlib.sha256(BODY).digest()
