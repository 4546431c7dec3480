"""A disk that fails at the n-th step, or kills its process there."""

import errno
import os
import signal
from collections.abc import Callable

from sluice_appliance.store.disk import RealDisk


class FailingDisk(RealDisk):
    """Fails the n-th operation, having done it or some of it where `after_doing_it`, and works again
    afterwards. `strike` is what failing is."""

    def __init__(
        self,
        fail_at: int,
        *,
        after_doing_it: bool = False,
        write_bytes_max: int = 1 << 20,
        strike: Callable[[str], None] | None = None,
    ) -> None:
        self.failed = ""
        self._left = fail_at
        self._after_doing_it = after_doing_it
        self._write_bytes_max = write_bytes_max
        self._strike = strike or _eio

    def open_for_writing(self, path: str) -> int:
        self._step("open")
        return super().open_for_writing(path)

    def write(self, descriptor: int, data: memoryview, offset: int) -> int:
        if self._due():
            if self._after_doing_it:
                super().write(descriptor, data[: len(data) // 2], offset)
            self._fail("write")
        # A kernel may take less than it is given.
        return super().write(descriptor, data[: self._write_bytes_max], offset)

    def sync(self, descriptor: int) -> None:
        self._step("sync")
        super().sync(descriptor)

    def rename(self, source: str, target: str) -> None:
        self._around("rename", lambda: super(FailingDisk, self).rename(source, target))

    def make_folder(self, path: str) -> None:
        self._around("make_folder", lambda: super(FailingDisk, self).make_folder(path))

    def sync_folder(self, path: str) -> None:
        self._step("sync_folder")
        super().sync_folder(path)

    def remove(self, path: str) -> None:
        self._around("remove", lambda: super(FailingDisk, self).remove(path))

    def _around(self, name: str, do: Callable[[], None]) -> None:
        due = self._due()
        if not due or self._after_doing_it:
            do()
        if due:
            self._fail(name)

    def _step(self, name: str) -> None:
        if self._due():
            self._fail(name)

    def _due(self) -> bool:
        self._left -= 1
        return self._left == 0

    def _fail(self, name: str) -> None:
        self.failed = name
        self._strike(name)


def kill_this_process(name: str) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _eio(name: str) -> None:
    raise OSError(errno.EIO, f"the test's disk failed at {name}")
