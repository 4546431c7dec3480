"""Puts a version into the origin folder: media first, manifests last, each whole or not there.

A reader of the origin that finds a manifest finds every file that it names. Publishing the same
again changes nothing; a publish that died is finished by the next.
"""

import hashlib
import os
from collections.abc import Callable, Sequence
from pathlib import Path

from sluice_encoder.errors import PublishFailed
from sluice_encoder.integrity import INTEGRITY, Measured
from sluice_encoder.keys import ObjectKey, object_key
from sluice_encoder.package import DASH, MASTER
from sluice_encoder.transcode import only_one
from sluice_runtime.files import sync_folder

_CHUNK_BYTES = 1 << 20
_UNFINISHED = ".part"

# Told what is about to be done; a test raises here to die at that point.
Before = Callable[[str], None]


def publish_order(names: Sequence[str]) -> list[str]:
    """Media, then the playlists over them, then what names everything."""

    def stage(name: str) -> int:
        if name in (MASTER, DASH):
            return 3
        if name == INTEGRITY:
            return 2
        return 1 if name.endswith(".m3u8") else 0

    return sorted(names, key=lambda name: (stage(name), name))


def publish(
    folder: Path,
    files: Sequence[Measured],
    *,
    origin: Path,
    title_id: str,
    version: str,
    before: Before = lambda _: None,
) -> tuple[ObjectKey, ...]:
    """Copies `files` of `folder` to `origin/title_id/version/`. Blocks. Raises PublishFailed."""
    measured = {each.name: each for each in files}
    target = origin / title_id / version
    keys: list[ObjectKey] = []
    try:
        with only_one(target, "publish"):
            _clear_unfinished(target)
            for name in publish_order(list(measured)):
                keys.append(object_key(f"{title_id}/{version}/{name}"))
                if not _is_there(target / name, measured[name]):
                    _place(folder / name, target / name, measured[name], before)
            for parent in (target.parent, origin):
                before(f"sync {parent.name}")
                sync_folder(parent)
    except OSError as error:
        raise PublishFailed(f"{error.filename or target}: {error.strerror}") from None
    return tuple(keys)


def _clear_unfinished(target: Path) -> None:
    for path in target.glob(f".*{_UNFINISHED}"):
        path.unlink()


def _is_there(path: Path, wanted: Measured) -> bool:
    if not path.is_file() or path.stat().st_size != wanted.size_bytes:
        return False
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == wanted.sha256


def _place(source: Path, target: Path, wanted: Measured, before: Before) -> None:
    beside = target.with_name(f".{target.name}{_UNFINISHED}")
    digest = hashlib.sha256()
    before(f"write {target.name}")
    with source.open("rb") as reader, beside.open("wb") as writer:
        while chunk := reader.read(_CHUNK_BYTES):
            digest.update(chunk)
            writer.write(chunk)
        writer.flush()
        before(f"sync {target.name}")
        os.fsync(writer.fileno())
    if digest.hexdigest() != wanted.sha256:
        raise PublishFailed(f"{source} changed while it was published")
    before(f"rename {target.name}")
    beside.rename(target)
    before(f"sync the name of {target.name}")
    sync_folder(target.parent)
