"""Disks that are real file systems: one is pulled, one is made read-only, and the others go on."""

import hashlib
import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
from appliance.serving.serve_process import read_response, serve
from appliance.serving.slow_disk import mounted

from sluice_appliance.object_key import parse_key
from sluice_appliance.store.disks import DiskSpec, DiskState, Tier
from sluice_appliance.store.store import Store

DISK_BYTES = 32 << 20
KEYS = [parse_key(f"film/v1/{number}.mp4") for number in range(20)]
BODY = os.urandom(70_000)


@pytest.fixture
def disks(tmp_path: Path) -> Iterator[list[DiskSpec]]:
    """Two file systems, taken for flash."""
    with ExitStack() as stack:
        paths = [
            stack.enter_context(
                mounted(tmp_path / f"{name}.img", tmp_path / name, size_bytes=DISK_BYTES)
            )
            for name in "ab"
        ]
        yield [DiskSpec(path, DISK_BYTES // 2, Tier.SSD) for path in paths]


def put(store: Store, number: int) -> Path:
    sha256 = hashlib.sha256(BODY).digest()
    partial = store.begin(KEYS[number], len(BODY), sha256, "video/mp4")
    try:
        partial.write(BODY)
        partial.publish()
    finally:
        partial.close()
    return Path(partial.root)


def states(store: Store) -> list[DiskState]:
    return [disk.state for disk in store.look_at_disks()]


def held(store: Store) -> set[int]:
    return {number for number, key in enumerate(KEYS) if store.held(key)}


def test_a_disk_that_is_pulled_while_it_serves_takes_only_its_own_objects(
    tmp_path: Path, disks: list[DiskSpec]
) -> None:
    with Store.open(tmp_path / "store", disks) as store, ExitStack() as stack:
        on = [put(store, number) for number in range(len(KEYS))]
        kept = {number for number, path in enumerate(on) if path == disks[1].path}
        assert 0 < len(kept) < len(KEYS)
        served = stack.enter_context(serve(tmp_path / "store"))
        # Nothing says so but the mount that is gone.
        subprocess.run(["umount", "--lazy", disks[0].path], check=True)
        assert states(store) == [DiskState.FAILED, DiskState.IN_USE]
        assert "mounted" in store.disks()[0].reason
        assert held(store) == kept
        with closing(served.connect()) as client:
            for number in sorted(kept):
                client.sendall(f"GET /{KEYS[number]} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
                assert read_response(client)[2] == BODY
        # What it had comes again, on the disk that is left, and nothing is written beneath the mount.
        assert {put(store, number) for number in range(len(KEYS))} == {disks[1].path}
        assert held(store) == set(range(len(KEYS)))
        assert list(disks[0].path.iterdir()) == []
    with Store.open(tmp_path / "store", disks) as store:
        assert store.disks()[0].reason == "the disk is not mounted"
        assert list(disks[0].path.iterdir()) == []
        assert held(store) == set(range(len(KEYS)))
    # For who unmounts it in the end.
    subprocess.run(["mount", "-t", "tmpfs", "none", disks[0].path], check=True)


def test_a_disk_that_was_made_read_only_is_read_and_takes_nothing_new(
    tmp_path: Path, disks: list[DiskSpec]
) -> None:
    with Store.open(tmp_path / "store", disks) as store:
        for number in range(10):
            put(store, number)
        subprocess.run(["mount", "-o", "remount,ro", disks[0].path], check=True)
        assert states(store) == [DiskState.READ_ONLY, DiskState.IN_USE]
        assert held(store) == set(range(10))
        assert {put(store, number) for number in range(10, 20)} == {disks[1].path}
        subprocess.run(["mount", "-o", "remount,rw", disks[0].path], check=True)
        assert states(store) == [DiskState.IN_USE, DiskState.IN_USE]
        subprocess.run(["mount", "-o", "remount,ro", disks[0].path], check=True)
    with Store.open(tmp_path / "store", disks) as store:
        assert store.disks()[0].state is DiskState.READ_ONLY
        assert held(store) == set(range(20))
