"""The catalog: what the control plane says there is to watch, as values that answers are made of."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from types import MappingProxyType

from sluice.content.v1 import content_pb2

_TITLE_NAME = re.compile(r"titles/[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_KEY_PART = re.compile(r"[A-Za-z0-9._-]{1,128}")
_KEY_PARTS_MAX = 8
_KEY_CHARACTERS_MAX = 512
_SHA256_BYTES = 32


class TitleUnusable(ValueError):
    """A record that no answer can be made of; the message says what is wrong."""


class State(Enum):
    """How far a title is on its way to viewers."""

    FILLING = "filling"
    LIVE = "live"


@dataclass(frozen=True, slots=True)
class Rendition:
    """One encoding."""

    rendition_id: str
    codecs: str
    width: int
    height: int
    bitrate_kbps: int
    language: str


@dataclass(frozen=True, slots=True)
class Title:
    """A film or an episode."""

    name: str
    display_name: str
    version: str
    bucket: int
    state: State
    duration_s: float
    attribution: str
    hls_key: str
    dash_key: str
    integrity_key: str
    integrity_sha256: bytes
    integrity_size_bytes: int
    renditions: tuple[Rendition, ...]
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Catalog:
    """Every title at one revision, in order of name."""

    revision: int
    titles: Mapping[str, Title]
    # (name, why) of each record that was left out.
    left_out: tuple[tuple[str, str], ...]

    def page(self, after: str, size: int) -> tuple[tuple[Title, ...], bool]:
        """Up to `size` titles whose names come after `after`, and whether there are more."""
        names = [name for name in self.titles if name > after]
        return tuple(self.titles[name] for name in names[:size]), len(names) > size


def read_catalog(message: content_pb2.WatchTitlesResponse) -> Catalog:
    """Leaves out what no answer can be made of, and says so: one bad record hides no other."""
    titles: dict[str, Title] = {}
    left_out = []
    for record in sorted(message.titles, key=lambda record: record.name):
        try:
            titles[record.name] = read_title(record)
        except TitleUnusable as error:
            left_out.append((record.name[:80], str(error)))
    return Catalog(message.revision, MappingProxyType(titles), tuple(left_out))


def read_title(record: content_pb2.Title) -> Title:
    """Raises TitleUnusable."""
    if not _TITLE_NAME.fullmatch(record.name):
        raise TitleUnusable(f"name is {record.name[:80]!r}, expected titles/ and an id")
    integrity = _integrity(record)
    return Title(
        name=record.name,
        display_name=record.display_name or record.name.removeprefix("titles/"),
        version=record.version,
        bucket=record.bucket,
        state=State.LIVE if record.state == content_pb2.TITLE_STATE_LIVE else State.FILLING,
        duration_s=record.duration.seconds + record.duration.nanos / 1e9,
        attribution=record.attribution,
        hls_key=_key("hls_key", record.hls_key),
        dash_key=_key("dash_key", record.dash_key),
        integrity_key=integrity.key,
        integrity_sha256=integrity.sha256,
        integrity_size_bytes=integrity.size_bytes,
        renditions=_renditions(record.renditions),
        created_at=record.create_time.ToDatetime(UTC),
    )


def _integrity(record: content_pb2.Title) -> content_pb2.MediaObject:
    key = _key("integrity_key", record.integrity_key)
    found = next((item for item in record.objects if item.key == key), None)
    if found is None:
        raise TitleUnusable(f"objects has no {key}")
    if len(found.sha256) != _SHA256_BYTES or found.size_bytes <= 0:
        raise TitleUnusable(
            f"{key} has {found.size_bytes} bytes and a digest of {len(found.sha256)} bytes,"
            f" expected more than 0 and {_SHA256_BYTES}"
        )
    return found


def _key(field: str, key: str) -> str:
    """A key goes into URLs as it is, so it may hold nothing that a URL would have to escape."""
    parts = key.split("/")
    good = all(_KEY_PART.fullmatch(part) and part not in (".", "..") for part in parts)
    if not good or len(parts) > _KEY_PARTS_MAX or len(key) > _KEY_CHARACTERS_MAX:
        raise TitleUnusable(f"{field} is {key[:80]!r}, expected an object key")
    return key


def _renditions(records: Sequence[content_pb2.Rendition]) -> tuple[Rendition, ...]:
    return tuple(
        Rendition(
            record.rendition_id,
            record.codecs,
            record.width,
            record.height,
            record.bitrate_kbps,
            record.language,
        )
        for record in records
    )
