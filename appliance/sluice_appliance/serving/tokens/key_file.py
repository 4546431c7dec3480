"""Reads the file of a key set, for a worker that starts and whenever the file is another."""

import os
from pathlib import Path

from sluice_appliance.serving.tokens.keys import KEY_SET_BYTES_MAX, KeySet, KeysRefused


def load_keys(path: Path) -> KeySet:
    """Raises KeysRefused, which names the file, for one that is not there or is no key set."""
    try:
        with path.open("rb") as file:
            content = file.read(KEY_SET_BYTES_MAX + 1)
    except OSError as error:
        raise KeysRefused(f"{path}: {error.strerror}") from None
    try:
        return KeySet.from_bytes(content)
    except KeysRefused as error:
        raise KeysRefused(f"{path}: {error}") from None


class KeyFile:
    """Says when a key set has taken another's place; asking costs one `stat`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: tuple[int, int, int] | None = None

    def changed(self) -> bool:
        """Whether the file is another than when this was last asked; not being there is no change."""
        try:
            found = os.stat(self._path)
        except OSError:
            return False
        # It is replaced by renaming: another inode, even within the clock's grain.
        seen = (found.st_mtime_ns, found.st_ino, found.st_size)
        if seen == self._seen:
            return False
        self._seen = seen
        return True

    def load(self) -> KeySet:
        """As `load_keys`."""
        return load_keys(self._path)
