"""Whether bytes of an open file are in memory, asked of the kernel so that nobody waits for a disk.

`cachestat` counts the pages of a range that are in the page cache and starts no read. It counts those
on their way from the disk too, so that a full count is confirmed by reading one byte of the first and
of the last page with RWF_NOWAIT. RWF_NOWAIT alone would not do: for a page that is absent it starts a
read, 0.1 to 0.2 ms of work. Kernels before 6.5, and those asked about a file that the worker neither
owns nor may write, have nothing else: there a range is sampled.

What it costs (Linux 6.18, ext4, called from Python, a busy 2-core machine): a piece of 1 MiB that is in
memory 5 us where the fill wrote it (large folios), 14 us where it was read back page by page, 64 KiB 5 us,
one that is absent 2 us; sampled, 1 MiB 40 us. `open` and `header` together 20 us.
"""

import ctypes
import errno
import mmap
import os

from sluice_appliance.store.layout import BODY_OFFSET

# One number on all architectures, as every system call since 424.
_OPENAT2 = 437
_CACHESTAT = 451
_RESOLVE_CACHED = 0x20
_AT_FDCWD = -100
_OPEN_FLAGS = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW
# Waits, or cannot tell without: a thread opens it and finds out.
_NOT_FROM_MEMORY = frozenset((errno.EAGAIN, errno.ENOSYS, errno.EPERM, errno.EINVAL))
# Of every so many bytes one is asked for, where only single bytes can be. Reads from disks are seldom
# smaller, so that what lies between two samples came with one of them.
SAMPLE_BYTES = 64 * 1024

# PyDLL keeps the interpreter lock. None of these calls waits for a disk, but who lets go of the lock
# waits for whichever thread took it: milliseconds, where that one lost its core meanwhile.
_libc = ctypes.PyDLL(None, use_errno=True)
_syscall = _libc.syscall
_syscall.restype = ctypes.c_long
_preadv2 = _libc.preadv2
_preadv2.restype = ctypes.c_ssize_t


class _Range(ctypes.Structure):
    _fields_ = (("offset", ctypes.c_uint64), ("length", ctypes.c_uint64))


class _Counts(ctypes.Structure):
    _fields_ = (
        ("cached", ctypes.c_uint64),
        ("dirty", ctypes.c_uint64),
        ("written_back", ctypes.c_uint64),
        ("evicted", ctypes.c_uint64),
        ("recently_evicted", ctypes.c_uint64),
    )


class _Vector(ctypes.Structure):
    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


class _OpenHow(ctypes.Structure):
    _fields_ = (
        ("flags", ctypes.c_uint64),
        ("mode", ctypes.c_uint64),
        ("resolve", ctypes.c_uint64),
    )


class Residency:
    """Asks for one thread at a time; each thread has its own."""

    __slots__ = ("_at", "_byte", "_counts", "_how", "_offset", "_range", "_vector", "counts")

    def __init__(self, *, counts: bool = True) -> None:
        # Whether the kernel counts pages; false for good once it has said that it has no such call.
        self.counts = counts
        self._range = _Range()
        self._counts = _Counts()
        self._at = ctypes.byref(self._range), ctypes.byref(self._counts)
        self._how = _OpenHow(flags=_OPEN_FLAGS, resolve=_RESOLVE_CACHED)
        self._byte = ctypes.create_string_buffer(1)
        self._vector = ctypes.byref(_Vector(ctypes.addressof(self._byte), 1))
        self._offset = ctypes.c_int64()

    def holds(self, fd: int, offset: int, length: int) -> bool:
        """Whether all these bytes of the file are in memory; False where the file ends before."""
        last = offset + length - 1
        if self.counts:
            cached = self.cached_pages(fd, offset, length)
            if cached is not None:
                pages = last // mmap.PAGESIZE - offset // mmap.PAGESIZE + 1
                return cached >= pages and self._confirmed(fd, offset, last)
        return self._sampled(fd, offset, last)

    def cached_pages(self, fd: int, offset: int, length: int) -> int | None:
        """How many pages of the range are there or on their way; None where the kernel does not count:
        no such call, or not for this file."""
        self._range.offset = offset
        self._range.length = length
        if _syscall(_CACHESTAT, fd, *self._at, 0) == 0:
            cached: int = self._counts.cached
            return cached
        if ctypes.get_errno() == errno.ENOSYS:
            self.counts = False
        return None

    def is_exact(self, fd: int) -> bool:
        """Whether `holds` counts every page of this file, and does not go by samples."""
        return self.counts and self.cached_pages(fd, 0, 1) is not None

    def open(self, path: str) -> int | None:
        """A descriptor, None where directories or the inode must be read first. Raises OSError, so
        FileNotFoundError where it is known that there is no such file."""
        how, size = ctypes.byref(self._how), ctypes.sizeof(_OpenHow)
        fd: int = _syscall(_OPENAT2, _AT_FDCWD, os.fsencode(path), how, size)
        if fd >= 0:
            return fd
        code = ctypes.get_errno()
        if code in _NOT_FROM_MEMORY:
            return None
        raise OSError(code, os.strerror(code), path)

    def header(self, fd: int) -> bytes | None:
        """The page that describes an object, None where it must be read first. Raises OSError."""
        if not self.holds(fd, 0, BODY_OFFSET):
            return None
        try:
            page = bytearray(BODY_OFFSET)
            return bytes(page[: os.preadv(fd, [page], 0, os.RWF_NOWAIT)])
        except OSError as error:
            if error.errno in (errno.EAGAIN, errno.EOPNOTSUPP):
                return None
            raise

    def has(self, fd: int, offset: int) -> bool:
        """Whether this byte is in memory. Where it is not, a read of its page may be begun."""
        return self._probe(fd, offset) == 0

    def _confirmed(self, fd: int, offset: int, last: int) -> bool:
        """Reads end in order, or nearly so: with both ends here no page between is on its way."""
        # Where this file system cannot be asked, the count is all there is.
        known = (0, errno.EOPNOTSUPP)
        return self._probe(fd, last) in known and self._probe(fd, offset) in known

    def _sampled(self, fd: int, offset: int, last: int) -> bool:
        return self.has(fd, last) and all(
            self.has(fd, each) for each in range(offset, last, SAMPLE_BYTES)
        )

    def _probe(self, fd: int, offset: int) -> int:
        """0, or the errno that says why this byte cannot be read without waiting."""
        self._offset.value = offset
        read = _preadv2(fd, self._vector, 1, self._offset, os.RWF_NOWAIT)
        if read < 0:
            return ctypes.get_errno()
        return 0 if read else errno.ENODATA


def stop_kernel_read_ahead(fd: int) -> None:
    """Tells the kernel to read what is asked for and no more: what it begins by itself, beyond what a
    thread of ours waited for, is counted as cached while `sendfile` would still wait for it."""
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_RANDOM)
