"""A disk that fails at every step, and a process that dies at every step: the store stays true."""

import errno
import hashlib
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from appliance.store.failing_disk import FailingDisk

from sluice_appliance.object_key import parse_key
from sluice_appliance.store.blocks import block_digests
from sluice_appliance.store.disk import RealDisk
from sluice_appliance.store.disks import DiskState
from sluice_appliance.store.layout import object_path
from sluice_appliance.store.reading import open_object
from sluice_appliance.store.store import Store

KEY = parse_key("film/v1/h264-720p.mp4")
BODY = random.Random(7).randbytes(200_000)
DIGEST = hashlib.sha256(BODY).digest()
CHILD = Path(__file__).with_name("publishing_child.py")


def put(store: Store) -> None:
    partial = store.begin(KEY, len(BODY), DIGEST, "video/mp4")
    try:
        while partial.received_bytes < len(BODY):
            partial.write(BODY[partial.received_bytes : partial.received_bytes + 70_000])
        partial.publish()
    finally:
        partial.close()


def only_whole_objects(root: Path) -> Iterator[Path]:
    """Every file under objects/, each checked byte for byte."""
    for path in (root / "objects").rglob("*"):
        if path.is_file():
            assert path == Path(object_path(str(root), KEY))
            with open_object(str(path)) as there:
                assert there.read(0, there.header.size_bytes) == BODY
                assert there.block_digests == block_digests(BODY)
            yield path


@pytest.mark.parametrize("after_doing_it", [False, True])
def test_whichever_disk_operation_fails_the_store_stays_true_and_the_next_try_succeeds(
    tmp_path: Path, after_doing_it: bool
) -> None:
    seen = set()
    for fail_at in range(1, 100):
        root = tmp_path / str(fail_at)
        disk = FailingDisk(fail_at, after_doing_it=after_doing_it, write_bytes_max=65536)
        try:
            with Store.open(root, disk=disk) as store:
                put(store)
        except OSError:
            assert disk.failed
        list(only_whole_objects(root))
        with Store.open(root) as store:
            put(store)
            assert store.held(KEY) is not None
        assert len(list(only_whole_objects(root))) == 1
        if not disk.failed:
            break
        seen.add(disk.failed)
    else:
        pytest.fail("the operation never got through")
    assert seen == {"open", "write", "sync", "rename", "make_folder", "sync_folder"}


def test_a_file_whose_sync_failed_is_not_trusted_again(tmp_path: Path) -> None:
    class OneSyncFails(RealDisk):
        """The disk is well before and after, so that its files are looked at."""

        syncs = 0

        def sync(self, descriptor: int) -> None:
            self.syncs += 1
            if self.syncs == 1:
                raise OSError(errno.EIO, "the test's disk lost a page")
            super().sync(descriptor)

    with Store.open(tmp_path, disk=OneSyncFails()) as store:
        with pytest.raises(OSError, match="lost a page"):
            put(store)
        assert store.disks()[0].state is DiskState.IN_USE
        assert list(store.partials()) == []
        assert list((tmp_path / "partial").iterdir()) == []
        put(store)
        assert store.held(KEY) is not None


def test_a_file_is_synced_before_it_is_named_an_object_and_its_folder_after(tmp_path: Path) -> None:
    steps: list[str] = []

    class Telling(RealDisk):
        def sync(self, descriptor: int) -> None:
            super().sync(descriptor)
            steps.append(f"sync {Path(os.readlink(f'/proc/self/fd/{descriptor}')).parent.name}")

        def rename(self, source: str, target: str) -> None:
            super().rename(source, target)
            steps.append(f"rename {Path(source).parent.name} {Path(target).parent.parent.name}")

        def make_folder(self, path: str) -> None:
            super().make_folder(path)
            steps.append(f"make {Path(path).parent.name}")

        def sync_folder(self, path: str) -> None:
            super().sync_folder(path)
            steps.append(f"sync_folder {Path(path).relative_to(tmp_path).parts[0]}")
            synced.append(path)

    synced: list[str] = []
    with Store.open(tmp_path, disk=Telling()) as store:
        steps.clear()
        put(store)
        assert steps == [
            "sync partial",
            "make objects",
            "sync_folder objects",
            "rename partial objects",
            "sync_folder objects",
        ]
        assert synced == [str(tmp_path / "objects"), os.path.dirname(store.path_of(KEY))]


def _run_child(root: Path, *args: str) -> int:
    return subprocess.run([sys.executable, str(CHILD), str(root), *args], timeout=60).returncode


def test_a_process_killed_at_every_step_leaves_only_whole_verified_objects(tmp_path: Path) -> None:
    for step in range(1, 100):
        root = tmp_path / str(step)
        code = _run_child(root, "--kill-at-step", str(step))
        list(only_whole_objects(root))
        with Store.open(root) as store:
            put(store)
        assert len(list(only_whole_objects(root))) == 1
        if code == 0:
            break
        assert code == -signal.SIGKILL
    else:
        pytest.fail("the child never got through")
    assert step > 10


def test_a_process_killed_at_random_moments_leaves_only_whole_verified_objects(
    tmp_path: Path,
) -> None:
    seed = int(os.environ.get("SLUICE_TEST_SEED", random.SystemRandom().randrange(2**32)))
    print(f"SLUICE_TEST_SEED={seed}")
    rng = random.Random(seed)
    for _ in range(6):
        with subprocess.Popen(
            [sys.executable, str(CHILD), str(tmp_path), "--for-ever"], stdout=subprocess.PIPE
        ) as child:
            assert child.stdout is not None
            assert child.stdout.readline() == b"begun\n"
            deadline = time.monotonic() + rng.uniform(0, 0.05)
            while time.monotonic() < deadline:
                pass
            child.kill()
        list(only_whole_objects(tmp_path))
        with Store.open(tmp_path) as store:
            for header in store.scan():
                assert header.sha256 == DIGEST
