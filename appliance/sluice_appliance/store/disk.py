"""The system calls by which a store changes its disk: the seam at which tests make them fail."""

import os
from pathlib import Path
from typing import Protocol

from sluice_runtime.files import sync_folder


class Disk(Protocol):
    """Everything here may raise OSError, and may then have happened or not."""

    def open_for_writing(self, path: str) -> int: ...
    def write(self, descriptor: int, data: memoryview, offset: int) -> int: ...
    def sync(self, descriptor: int) -> None: ...
    def rename(self, source: str, target: str) -> None: ...
    def make_folder(self, path: str) -> None: ...
    def sync_folder(self, path: str) -> None: ...
    def remove(self, path: str) -> None: ...


class RealDisk:
    """The disk of this machine."""

    def open_for_writing(self, path: str) -> int:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)

    def write(self, descriptor: int, data: memoryview, offset: int) -> int:
        return os.pwrite(descriptor, data, offset)

    def sync(self, descriptor: int) -> None:
        os.fsync(descriptor)

    def rename(self, source: str, target: str) -> None:
        os.replace(source, target)

    def make_folder(self, path: str) -> None:
        os.makedirs(path, exist_ok=True)

    def sync_folder(self, path: str) -> None:
        sync_folder(Path(path))

    def remove(self, path: str) -> None:
        Path(path).unlink(missing_ok=True)
