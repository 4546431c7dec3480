"""Decides whether a title may be registered: what its objects, keys and renditions must be. Pure."""

import re
from collections.abc import Collection

from sluice.content.v1 import content_pb2
from sluice_control_plane.errors import InvalidRequest
from sluice_control_plane.fleet.appliances import etag_of
from sluice_control_plane.resource_names import check_display_name, check_id, shown

_KEY_PART = re.compile(r"[A-Za-z0-9._-]{1,128}", re.ASCII)
KEY_CHARACTERS_MAX = 512
KEY_PARTS_MAX = 8
# A ladder of a dozen renditions needs some forty files; a title of loose segments some thousand.
OBJECTS_MAX = 20_000
RENDITIONS_MAX = 200
SIZE_BYTES_MAX = 1 << 44
ATTRIBUTION_CHARACTERS_MAX = 1000
CODECS_CHARACTERS_MAX = 200
LANGUAGE_CHARACTERS_MAX = 63
CONTENT_TYPE_CHARACTERS_MAX = 127
DURATION_S_MAX = 100 * 24 * 3600
_SHA256_BYTES = 32
_BLOCK_BYTES = 1 << 20
_BLOCK_DIGEST_BYTES = 16


def check_title(title_id: str, title: content_pb2.Title) -> None:
    """Raises InvalidRequest unless `title` may be registered under `title_id`."""
    check_id(title_id, "title_id")
    check_display_name(title.display_name, "title.display_name")
    _check_part("title.version", title.version)
    _check_text("title.attribution", title.attribution, ATTRIBUTION_CHARACTERS_MAX)
    if not 0 <= title.duration.seconds <= DURATION_S_MAX or title.duration.nanos < 0:
        raise InvalidRequest(
            f"title.duration is {title.duration.seconds} s, expected 0..{DURATION_S_MAX}"
        )
    keys = _check_objects(f"{title_id}/{title.version}/", title.objects)
    if not (title.hls_key or title.dash_key):
        raise InvalidRequest("title has neither hls_key nor dash_key")
    for field in ("hls_key", "dash_key", "integrity_key"):
        _check_known(f"title.{field}", getattr(title, field), keys)
    _check_renditions(title.renditions, keys)


def version_name(title: content_pb2.Title) -> str:
    """`title/version`, as fill reports name what they hold."""
    return f"{title.name.removeprefix('titles/')}/{title.version}"


def is_live(title: content_pb2.Title) -> bool:
    return title.state == content_pb2.TITLE_STATE_LIVE


def title_etag(title: content_pb2.Title) -> str:
    return etag_of(
        title.name,
        title.version,
        title.create_time.ToMicroseconds(),
        int(title.state),
        int(title.priority),
    )


def _check_objects(prefix: str, objects: Collection[content_pb2.MediaObject]) -> set[str]:
    if not 1 <= len(objects) <= OBJECTS_MAX:
        raise InvalidRequest(f"title has {len(objects)} objects, expected 1..{OBJECTS_MAX}")
    keys: set[str] = set()
    for item in objects:
        _check_key(item.key, prefix)
        if item.key in keys:
            raise InvalidRequest(f"object {item.key} is there twice")
        keys.add(item.key)
        if not 0 <= item.size_bytes <= SIZE_BYTES_MAX:
            raise InvalidRequest(
                f"object {item.key} has size_bytes {item.size_bytes}, expected 0..{SIZE_BYTES_MAX}"
            )
        if len(item.sha256) != _SHA256_BYTES:
            raise InvalidRequest(
                f"object {item.key} has a sha256 of {len(item.sha256)} bytes, "
                f"expected {_SHA256_BYTES}"
            )
        _check_block_digests(item)
        if not item.content_type:
            raise InvalidRequest(f"object {item.key} has no content_type")
        # It becomes a header of HTTP, to the letter.
        if not item.content_type.isascii():
            raise InvalidRequest(f"object {item.key} has content_type {shown(item.content_type)}")
        _check_text("content_type", item.content_type, CONTENT_TYPE_CHARACTERS_MAX)
    return keys


def _check_renditions(renditions: Collection[content_pb2.Rendition], keys: Collection[str]) -> None:
    if len(renditions) > RENDITIONS_MAX:
        raise InvalidRequest(
            f"title has {len(renditions)} renditions, expected at most {RENDITIONS_MAX}"
        )
    ids: set[str] = set()
    for rendition in renditions:
        rendition_id = check_id(rendition.rendition_id, "rendition_id")
        if rendition_id in ids:
            raise InvalidRequest(f"rendition {rendition_id} is there twice")
        ids.add(rendition_id)
        if not rendition.key:
            raise InvalidRequest(f"rendition {rendition_id} has no key")
        _check_known(f"key of rendition {rendition_id}", rendition.key, keys)
        _check_text("codecs", rendition.codecs, CODECS_CHARACTERS_MAX)
        _check_text("language", rendition.language, LANGUAGE_CHARACTERS_MAX)


def _check_key(key: str, prefix: str) -> None:
    if not key.startswith(prefix) or len(key) > KEY_CHARACTERS_MAX:
        raise InvalidRequest(
            f"object key is {shown(key)}, expected {prefix}FILE of at most "
            f"{KEY_CHARACTERS_MAX} characters"
        )
    parts = key.split("/")
    if len(parts) > KEY_PARTS_MAX:
        raise InvalidRequest(
            f"object key {shown(key)} has {len(parts)} parts, expected at most {KEY_PARTS_MAX}"
        )
    for part in parts:
        _check_part("object key's part", part)


def _check_part(field: str, text: str) -> None:
    if not _KEY_PART.fullmatch(text) or text in (".", ".."):
        raise InvalidRequest(
            f"{field} is {shown(text)}, expected 1..128 letters, digits, dots, underscores, hyphens"
        )


def _check_known(field: str, key: str, keys: Collection[str]) -> None:
    if key and key not in keys:
        raise InvalidRequest(f"{field} is {shown(key)}, which is none of the title's objects")


def _check_text(field: str, text: str, characters_max: int) -> None:
    if len(text) > characters_max or not text.isprintable():
        raise InvalidRequest(
            f"{field} is {shown(text)}, expected at most {characters_max} printable characters"
        )


def _check_block_digests(item: content_pb2.MediaObject) -> None:
    wanted = _BLOCK_DIGEST_BYTES * -(-item.size_bytes // _BLOCK_BYTES)
    if item.block_digests and len(item.block_digests) != wanted:
        raise InvalidRequest(
            f"object {item.key} has block_digests of {len(item.block_digests)} bytes, expected "
            f"{wanted} ({_BLOCK_DIGEST_BYTES} for each MiB) or none"
        )
