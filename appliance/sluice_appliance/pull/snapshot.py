"""What the files on flash do not tell of the cache, kept from a stop to the next start.

A crash forgets it, and so does a file that is damaged: the blocks are there all the same, and begin to
be counted anew.
"""

from pathlib import Path

import msgspec

from sluice_appliance.store.keeping import Remembered
from sluice_runtime.files import write_atomically
from sluice_runtime.logs import get_logger

log = get_logger(__name__)

_FILE = "remembered"
_DECODER = msgspec.msgpack.Decoder(Remembered)


def save(folder: Path, remembered: Remembered) -> None:
    """A disk that does not take it is logged."""
    try:
        write_atomically(folder / _FILE, msgspec.msgpack.encode(remembered))
    except OSError as error:
        log.error("pull_counts_unsaved", path=str(folder / _FILE), error=str(error))


def load(folder: Path) -> Remembered | None:
    """What the last stop saved; it is used once, so that a crash later goes back to nothing older."""
    path = folder / _FILE
    try:
        content = path.read_bytes()
        path.unlink()
        return _DECODER.decode(content)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError) as error:
        log.error("pull_counts_lost", path=str(path), error=str(error))
        return None
