"""Measures what was packaged: sizes and SHA-256 of files and of every range that a player asks for, and
the digests by which appliances verify each MiB as it comes."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from blake3 import blake3

from sluice_encoder.manifests import ByteRange, byte_ranges

INTEGRITY = "integrity.json"
FORMAT = 1
_CHUNK_BYTES = 1 << 20
# As in `sluice.content.v1.MediaObject`. BLAKE3 costs half of what SHA-256 does; 16 bytes are enough
# against who cannot choose both of two blocks, and the whole object is held to its SHA-256 besides.
BLOCK_BYTES = 1 << 20
BLOCK_DIGEST_BYTES = 16


@dataclass(frozen=True, slots=True)
class Measured:
    """One file; `ranges` are (offset, size, SHA-256 in hex), `block_digests` those of all blocks in order."""

    name: str
    size_bytes: int
    sha256: str
    ranges: tuple[tuple[int, int, str], ...] = ()
    block_digests: bytes = b""


def measure(folder: Path, playlists: Iterable[str]) -> tuple[Measured, ...]:
    """Every file in `folder`, in order of name. Raises ValueError for a range outside its file."""
    wanted: dict[str, list[ByteRange]] = {}
    for name in playlists:
        for each in byte_ranges((folder / name).read_text()):
            wanted.setdefault(each.file, []).append(each)
    names = sorted(path.name for path in folder.iterdir() if path.name != INTEGRITY)
    missing = sorted(set(wanted) - set(names))
    if missing:
        raise ValueError(f"playlists name files that are not there: {', '.join(missing)}")
    return tuple(_measure(folder / name, wanted.get(name, [])) for name in names)


def measure_file(path: Path) -> Measured:
    """A file that players fetch whole."""
    return _measure(path, [])


def version_of(measured: Iterable[Measured]) -> str:
    """`v` and 12 hex digits: the same content is the same version, whoever made it."""
    listed = "".join(f"{each.name} {each.size_bytes} {each.sha256}\n" for each in measured)
    return "v" + hashlib.sha256(listed.encode()).hexdigest()[:12]


def integrity_json(title_id: str, version: str, measured: Iterable[Measured]) -> bytes:
    """The published file: `format`, `title`, `version`, `objects` by file name."""
    objects: Mapping[str, object] = {
        each.name: {
            "size_bytes": each.size_bytes,
            "sha256": each.sha256,
            "ranges": [list(part) for part in each.ranges],
        }
        for each in measured
    }
    document = {"format": FORMAT, "title": title_id, "version": version, "objects": objects}
    return json.dumps(document, separators=(",", ":")).encode() + b"\n"


def _measure(path: Path, ranges: list[ByteRange]) -> Measured:
    with path.open("rb") as file:
        whole, blocks = hashlib.sha256(), bytearray()
        while block := file.read(BLOCK_BYTES):
            whole.update(block)
            blocks += blake3(block).digest(length=BLOCK_DIGEST_BYTES)
        size = file.tell()
        parts = tuple((part.offset, part.size, _digest(file, part, size)) for part in ranges)
    return Measured(path.name, size, whole.hexdigest(), parts, bytes(blocks))


def _digest(file: BinaryIO, part: ByteRange, file_size: int) -> str:
    if part.offset + part.size > file_size:
        raise ValueError(
            f"{part.file} has {file_size} bytes, a playlist asks for {part.size}@{part.offset}"
        )
    digest = hashlib.sha256()
    file.seek(part.offset)
    left = part.size
    while left:
        chunk = file.read(min(left, _CHUNK_BYTES))
        digest.update(chunk)
        left -= len(chunk)
    return digest.hexdigest()
