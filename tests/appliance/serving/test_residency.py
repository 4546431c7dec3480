"""Asking the kernel what is in memory: real files, put out of memory and brought back."""

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from appliance.serving.slow_disk import evict

from sluice_appliance.serving.residency import Residency, stop_kernel_read_ahead
from sluice_appliance.store.layout import BODY_OFFSET

MIB = 1024 * 1024
SIZE = 4 * MIB + 1000


class OnDisk:
    """A file of which nothing is in memory."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.write_bytes(os.urandom(SIZE))
        self.fd = os.open(path, os.O_RDONLY)
        stop_kernel_read_ahead(self.fd)
        self.evict()

    def evict(self) -> None:
        evict(self.path)


@pytest.fixture
def file(tmp_path: Path) -> Iterator[OnDisk]:
    made = OnDisk(tmp_path / "file")
    try:
        if Residency().holds(made.fd, 0, SIZE):
            pytest.skip("the file system of the temporary folder is memory: nothing can be evicted")
        yield made
    finally:
        os.close(made.fd)


both_ways = pytest.mark.parametrize("counts", [True, False], ids=["counted", "sampled"])


@both_ways
def test_what_was_evicted_is_not_held_and_what_was_read_is(file: OnDisk, counts: bool) -> None:
    residency = Residency(counts=counts)
    assert not residency.holds(file.fd, 0, SIZE)
    os.pread(file.fd, SIZE, 0)
    assert residency.holds(file.fd, 0, SIZE)
    assert residency.holds(file.fd, 12_345, 1)


def test_a_single_missing_page_is_noticed_where_the_kernel_counts(file: OnDisk) -> None:
    residency = Residency()
    if not residency.is_exact(file.fd):
        pytest.skip("this kernel has no cachestat")
    os.pread(file.fd, MIB, 0)
    os.pread(file.fd, MIB, MIB + 4096)
    assert residency.holds(file.fd, 0, MIB)
    assert not residency.holds(file.fd, 0, 2 * MIB)


def test_asking_for_absent_pages_reads_none_of_them_where_the_kernel_counts(file: OnDisk) -> None:
    residency = Residency()
    if not residency.is_exact(file.fd):
        pytest.skip("this kernel has no cachestat")
    for _ in range(3):
        assert not residency.holds(file.fd, 0, MIB)
    assert residency.cached_pages(file.fd, 0, SIZE) == 0


@both_ways
def test_bytes_beyond_the_end_of_a_file_are_never_held(file: OnDisk, counts: bool) -> None:
    residency = Residency(counts=counts)
    os.pread(file.fd, SIZE, 0)
    assert residency.holds(file.fd, SIZE - 1, 1)
    assert not residency.holds(file.fd, SIZE, 1)
    assert not residency.holds(file.fd, 0, SIZE + 8192)


def test_a_cold_header_is_not_waited_for_and_a_warm_one_is_read(file: OnDisk) -> None:
    residency = Residency()
    assert residency.header(file.fd) is None
    page = os.pread(file.fd, BODY_OFFSET, 0)
    assert residency.header(file.fd) == page


def test_a_file_whose_name_is_in_memory_opens_without_a_wait(file: OnDisk) -> None:
    fd = Residency().open(str(file.path))
    if fd is None:
        pytest.skip("this kernel has no openat2 with RESOLVE_CACHED")
    with os.fdopen(fd, "rb") as opened:
        assert opened.read(10) == file.path.read_bytes()[:10]
        assert not os.get_inheritable(fd)


def test_a_name_that_was_never_looked_up_is_left_to_a_thread(tmp_path: Path) -> None:
    assert Residency().open(str(tmp_path / "nobody" / "asked")) is None


def test_a_name_known_to_be_absent_is_absent_at_once(tmp_path: Path) -> None:
    path = str(tmp_path / "absent")
    with pytest.raises(FileNotFoundError):
        os.open(path, os.O_RDONLY)
    try:
        opened = Residency().open(path)
    except FileNotFoundError:
        return
    # The kernel may forget at any time what it knew; it must not say that the file is there.
    assert opened is None


def test_a_link_in_an_objects_place_is_refused(file: OnDisk, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(file.path)
    link.stat()
    with pytest.raises(OSError, match=os.strerror(errno.ELOOP)):
        Residency().open(str(link))
