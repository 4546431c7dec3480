"""A real file system that gives a process 20 MB/s: ext4 in a file, its block device throttled by cgroup.

For root, on a kernel with loop devices and the io controller (blkio of cgroup v1, or io of v2); where
one is missing the test is skipped and says which.
"""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from sluice_appliance.serving.residency import Residency

BYTES_PER_S = 20_000_000
EVICTIONS_MAX = 100


@dataclass
class SlowDisk:
    """Mounted at `path`; slow to the processes that were told so, quick to others."""

    path: Path
    _group: "_Group"

    def slow_down(self, pid: int) -> None:
        """From here on the process, with all its threads, reads at 20 MB/s; until it ends or the disk
        is taken down."""
        self._group.take(pid)

    def heal(self) -> None:
        """From here on it is as quick to them as to others."""
        self._group.limit(None)

    def evict(self) -> None:
        """Leaves nothing of its files in memory."""
        for path in self.path.rglob("*"):
            if path.is_file():
                evict(path)


def evict(path: Path) -> None:
    """Leaves nothing of the file in memory, where its file system has a disk under it."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
        # The kernel keeps what something else holds for a moment.
        for _ in range(EVICTIONS_MAX):
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            if not Residency().cached_pages(descriptor, 0, os.fstat(descriptor).st_size):
                break
    finally:
        os.close(descriptor)


@contextmanager
def slow_disk(folder: Path, *, size_bytes: int) -> Iterator[SlowDisk]:
    """Mounts one in a new folder, and takes it down again. Skips the test where that cannot be."""
    with (
        mounted(folder / "slow.img", folder / "slow", size_bytes=size_bytes) as path,
        _throttled_group(os.stat(path).st_dev) as group,
    ):
        yield SlowDisk(path, group)


@contextmanager
def mounted(image: Path, path: Path, *options: str, size_bytes: int) -> Iterator[Path]:
    """An ext4, made with `options`, in a file. Skips the test where that cannot be."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount a disk")
    missing = [tool for tool in ("mkfs.ext4", "mount", "umount") if not _tool(tool)]
    if missing:
        pytest.skip(f"a disk needs {', '.join(missing)}")
    path.mkdir(parents=True)
    with image.open("wb") as file:
        file.truncate(size_bytes)
    _run("mkfs.ext4", "-q", "-F", *options, str(image))
    _run("mount", "-o", "loop,noatime", str(image), str(path))
    try:
        yield path
    finally:
        _run("umount", "--lazy", str(path))
        image.unlink()


class _Group:
    """A cgroup whose processes read slowly from one device."""

    def __init__(self, root: Path, version: int, device: int) -> None:
        self._root = root
        self._version = version
        self._path = root / f"sluice-slow-disk-{os.getpid()}"
        self._origins: dict[int, Path] = {}
        control = root / "cgroup.subtree_control"
        if version == 2 and "io" not in control.read_text().split():
            control.write_text("+io")
        self._path.mkdir()
        self._number = f"{os.major(device)}:{os.minor(device)}"
        self.limit(BYTES_PER_S)

    def limit(self, bytes_per_s: int | None) -> None:
        if self._version == 2:
            (self._path / "io.max").write_text(f"{self._number} rbps={bytes_per_s or 'max'}")
        else:
            limit = self._path / "blkio.throttle.read_bps_device"
            limit.write_text(f"{self._number} {bytes_per_s or 0}")

    def take(self, pid: int) -> None:
        controller = "blkio" if self._version == 1 else ""
        for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines():
            _, controllers, where = line.split(":", 2)
            if controller in controllers.split(","):
                self._origins[pid] = self._root / where.lstrip("/")
        (self._path / "cgroup.procs").write_text(str(pid))

    def close(self) -> None:
        """Whoever is still here goes back to where it was."""
        for pid in map(int, (self._path / "cgroup.procs").read_text().split()):
            (self._origins.get(pid, self._root) / "cgroup.procs").write_text(str(pid))
        self._path.rmdir()


@contextmanager
def _throttled_group(device: int) -> Iterator[_Group]:
    for root, version in _cgroup_roots():
        with suppress(OSError):
            group = _Group(root, version, device)
            break
    else:
        pytest.skip("no cgroup here can throttle a disk (blkio of v1, io of v2)")
    try:
        yield group
    finally:
        group.close()


def _cgroup_roots() -> Iterator[tuple[Path, int]]:
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, where, kind, options, *_ = line.split()
        root = Path(where)
        if kind == "cgroup" and "blkio" in options.split(","):
            yield root, 1
        elif kind == "cgroup2" and "io" in (root / "cgroup.controllers").read_text().split():
            yield root, 2


def _tool(name: str) -> str | None:
    return shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")


def _run(name: str, *arguments: str) -> None:
    tool = _tool(name)
    assert tool is not None
    done = subprocess.run([tool, *arguments], capture_output=True, text=True, check=False)
    if done.returncode and name == "mount":
        pytest.skip(f"cannot mount a file system here: {done.stderr.strip()}")
    assert done.returncode == 0, done.stderr
