"""Writing small files so that a crash leaves the old one or the new one, never a mixture."""

import os
import tempfile
from pathlib import Path


def write_atomically(path: Path, content: bytes, *, mode: int = 0o644) -> None:
    """Replaces `path` by a file of `content`, durable when this returns.

    Written beside it, synced, renamed over it, and the folder synced: the four steps without which
    ext4 and XFS may show an empty file after a power cut.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # A name of its own for each writer, threads included, and nobody else's to read before the chmod.
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    beside = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(file.fileno(), mode)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Makes the names in `folder` durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def memory_file(name: str, content: bytes) -> int:
    """The descriptor of a file that is only in memory, for what a child process should be handed and
    nobody else should read; it is gone with its last descriptor."""
    descriptor = os.memfd_create(name, os.MFD_CLOEXEC)
    os.pwrite(descriptor, content, 0)
    return descriptor
