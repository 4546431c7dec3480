"""Objects that are damaged in every way a disk or a hand may damage them."""

import hashlib
import os
import random
from collections.abc import Callable
from pathlib import Path

from sluice_appliance.object_key import parse_key
from sluice_appliance.store.layout import (
    BODY_OFFSET,
    WITHOUT_BLOCKS,
    ObjectHeader,
    ObjectKey,
    encode_header,
    object_path,
    trailer_offset,
)
from sluice_appliance.store.store import Store

KEYS = [parse_key(f"film/v1/{number}.mp4") for number in range(6)]
BODY = random.Random(3).randbytes(2_500_001)


def put(store: Store, key: ObjectKey, body: bytes = BODY) -> Path:
    partial = store.begin(key, len(body), hashlib.sha256(body).digest(), "video/mp4")
    try:
        partial.write(body[partial.received_bytes :])
        partial.publish()
    finally:
        partial.close()
    return Path(store.path_of(key))


def put_version_1(root: Path, key: ObjectKey, body: bytes = BODY) -> Path:
    """As a box wrote it before there were digests of blocks."""
    header = ObjectHeader(key, len(body), hashlib.sha256(body).digest(), "video/mp4")
    path = Path(object_path(str(root), key))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encode_header(header, WITHOUT_BLOCKS) + body)
    return path


def _flip(path: Path, at: int) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        [byte] = file.read(1)
        file.seek(at)
        file.write(bytes([byte ^ 0x10]))


def _misname(path: Path) -> None:
    """Two objects were swapped: each file is sound, and is not what its name says."""
    other = path.with_name(path.name[:-1] + ("0" if path.name[-1] != "0" else "1"))
    path.rename(other)


DAMAGE: dict[str, Callable[[Path], None]] = {
    "a bit of the page": lambda path: _flip(path, 30),
    "a bit of the first block": lambda path: _flip(path, BODY_OFFSET),
    "a bit of the last byte": lambda path: _flip(path, BODY_OFFSET + len(BODY) - 1),
    "a bit of the trailer": lambda path: _flip(path, trailer_offset(len(BODY)) + 20),
    "cut short in the body": lambda path: os.truncate(path, BODY_OFFSET + 1_500_000),
    "cut short in the page": lambda path: os.truncate(path, 100),
    "empty": lambda path: os.truncate(path, 0),
    "a byte too long": lambda path: os.truncate(path, path.stat().st_size + 1),
    "zeros where a block was": lambda path: _zero(path, BODY_OFFSET + (1 << 20), 1 << 20),
    "under another name": _misname,
}


def _zero(path: Path, at: int, length: int) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        file.write(bytes(length))
