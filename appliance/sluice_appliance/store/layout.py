"""What an object looks like on disk: one page that describes it, its bytes, and the digests of its blocks.

The path follows from the key, so nothing has to be indexed; the page names the key, size, digest and
media type, so that a file says what it is even where its name is lost. The body starts at 4096, a
whole page, which is what `sendfile` and `mmap` like best.

    0   8  magic `SLUICEOB`          16   8  body size
    8   2  version: 1 or 2           24  32  SHA-256 of the body
    10  2  zero                      56   4  CRC-32 of all the fields before and of the JSON
    12  4  length of the JSON        60   …  JSON {"key": …, "content_type": …}, then zeros

Version 1 ends with the body. Version 2 goes on at the next whole page with a trailer:

    0   8  magic `SLUICEBD`          8    4  how many blocks
    12  4  CRC-32 of the SHA-256 in the page, of the count and of the digests
    16  …  16 bytes a block (`blocks.py`), in order

Version 1 is read and served, and made version 2 by the audit. Numbers are little-endian.
"""

import hashlib
import re
import struct
import zlib
from dataclasses import dataclass

import msgspec

from sluice_appliance.object_key import InvalidObjectKey, ObjectKey, parse_key

__all__ = [
    "BODY_OFFSET",
    "InvalidObjectKey",
    "LayoutError",
    "ObjectHeader",
    "ObjectKey",
    "check_header",
    "decode_header",
    "encode_header",
    "object_path",
    "parse_key",
]

BODY_OFFSET = 4096
OBJECTS_FOLDER = "objects"
BLOCK_BYTES = 1024 * 1024
BLOCK_DIGEST_BYTES = 16
WITHOUT_BLOCKS = 1
WITH_BLOCKS = 2
_MAGIC = b"SLUICEOB"
_TRAILER_MAGIC = b"SLUICEBD"
_TRAILER = struct.Struct("<8sII")
_PAGE_BYTES = 4096
_FIELDS = struct.Struct("<8sHHIQ32s")
_CRC = struct.Struct("<I")
_JSON_OFFSET = _FIELDS.size + _CRC.size
_DIGEST_BYTES = 32
# Goes into a response header as it is: visible ASCII and single spaces, no line end.
_CONTENT_TYPE = re.compile(r"[!-~]+(?: [!-~]+)*")
_CONTENT_TYPE_CHARS_MAX = 255
_NAME = re.compile(r"[0-9a-f]{64}")


class LayoutError(Exception):
    """The page describes no object, or an object that no page can describe."""


@dataclass(frozen=True, slots=True)
class ObjectHeader:
    """What a file says of itself."""

    key: ObjectKey
    size_bytes: int
    sha256: bytes
    content_type: str


class _Names(msgspec.Struct, forbid_unknown_fields=True):
    key: str
    content_type: str


_DECODER = msgspec.json.Decoder(_Names)


def object_name(key: ObjectKey) -> str:
    """What its file is called: the SHA-256 of the key in hex."""
    return hashlib.sha256(key.encode()).hexdigest()


def is_name(name: str) -> bool:
    """Whether an object's file may be called so."""
    return _NAME.fullmatch(name) is not None


def object_path(root: str, key: ObjectKey) -> str:
    """Where the object is: `objects/<2 hex>/<SHA-256 of the key in hex>` under the disk's root."""
    return named_path(root, object_name(key))


def named_path(root: str, name: str) -> str:
    """`object_path` for one whose name is known."""
    return f"{root}/{OBJECTS_FOLDER}/{name[:2]}/{name}"


def root_of(path: str) -> str:
    """Of the disk that `named_path` names a file on."""
    return path.rsplit("/", 3)[0]


def encode_header(header: ObjectHeader, version: int) -> bytes:
    """The page of BODY_OFFSET bytes. Raises LayoutError for what no page can hold."""
    check_header(header)
    names = msgspec.json.encode(_Names(header.key, header.content_type))
    fields = _FIELDS.pack(_MAGIC, version, 0, len(names), header.size_bytes, header.sha256)
    crc = _CRC.pack(zlib.crc32(names, zlib.crc32(fields)))
    return (fields + crc + names).ljust(BODY_OFFSET, b"\0")


def decode_header(page: bytes) -> ObjectHeader:
    """Reads a page. Raises LayoutError for anything that `encode_header` did not write."""
    return decode_page(page)[0]


def decode_page(page: bytes) -> tuple[ObjectHeader, int]:
    """(header, version). Raises LayoutError for anything that `encode_header` did not write."""
    if len(page) < BODY_OFFSET:
        raise LayoutError(f"the header page has {len(page)} bytes, expected {BODY_OFFSET}")
    magic, version, _, names_bytes, size_bytes, sha256 = _FIELDS.unpack_from(page)
    if magic != _MAGIC:
        raise LayoutError(f"the file begins with {magic!r}, expected {_MAGIC!r}")
    if version not in (WITHOUT_BLOCKS, WITH_BLOCKS):
        raise LayoutError(
            f"the header has version {version}, this program reads {WITHOUT_BLOCKS} and {WITH_BLOCKS}"
        )
    if names_bytes > BODY_OFFSET - _JSON_OFFSET:
        raise LayoutError(f"the header names {names_bytes} bytes of JSON in a {BODY_OFFSET} page")
    names = page[_JSON_OFFSET : _JSON_OFFSET + names_bytes]
    (written,) = _CRC.unpack_from(page, _FIELDS.size)
    found = zlib.crc32(names, zlib.crc32(page[: _FIELDS.size]))
    if found != written:
        raise LayoutError(f"the header's CRC-32 is {found:08x}, it says {written:08x}")
    try:
        decoded = _DECODER.decode(names)
        key = parse_key(decoded.key)
    except (msgspec.DecodeError, InvalidObjectKey) as error:
        raise LayoutError(f"the header's JSON: {error}") from None
    header = ObjectHeader(key, size_bytes, sha256, decoded.content_type)
    check_header(header)
    return header, version


def file_bytes(size_bytes: int, version: int) -> int:
    """How long the file of a body of this size is."""
    if version == WITHOUT_BLOCKS:
        return BODY_OFFSET + size_bytes
    return trailer_offset(size_bytes) + trailer_bytes(size_bytes)


def block_count(size_bytes: int) -> int:
    return -(-size_bytes // BLOCK_BYTES)


def trailer_offset(size_bytes: int) -> int:
    """Where the digests of the blocks begin: the first whole page behind the body."""
    return BODY_OFFSET + -(-size_bytes // _PAGE_BYTES) * _PAGE_BYTES


def trailer_bytes(size_bytes: int) -> int:
    return _TRAILER.size + block_count(size_bytes) * BLOCK_DIGEST_BYTES


def encode_trailer(header: ObjectHeader, digests: bytes) -> bytes:
    """`digests`: of all blocks, one behind the other."""
    count = len(digests) // BLOCK_DIGEST_BYTES
    return _TRAILER.pack(_TRAILER_MAGIC, count, _trailer_crc(header, count, digests)) + digests


def decode_trailer(header: ObjectHeader, trailer: bytes) -> bytes:
    """The digests of all blocks. Raises LayoutError for anything that `encode_trailer` did not write
    for this object."""
    expected = trailer_bytes(header.size_bytes)
    if len(trailer) != expected:
        raise LayoutError(f"the trailer has {len(trailer)} bytes, expected {expected}")
    magic, count, written = _TRAILER.unpack_from(trailer)
    digests = trailer[_TRAILER.size :]
    if magic != _TRAILER_MAGIC:
        raise LayoutError(f"the trailer begins with {magic!r}, expected {_TRAILER_MAGIC!r}")
    found = _trailer_crc(header, count, digests)
    if count != block_count(header.size_bytes) or found != written:
        raise LayoutError(
            f"the trailer is of {count} blocks and CRC-32 {found:08x}, it says {written:08x};"
            f" expected {block_count(header.size_bytes)} blocks"
        )
    return digests


def _trailer_crc(header: ObjectHeader, count: int, digests: bytes) -> int:
    return zlib.crc32(digests, zlib.crc32(header.sha256 + count.to_bytes(4, "little")))


def check_header(header: ObjectHeader) -> None:
    """Raises LayoutError for an object that no page can describe."""
    if not 0 <= header.size_bytes < 2**63:
        raise LayoutError(f"size_bytes is {header.size_bytes}, expected 0..2^63-1")
    if len(header.sha256) != _DIGEST_BYTES:
        raise LayoutError(f"sha256 has {len(header.sha256)} bytes, expected {_DIGEST_BYTES}")
    content_type = header.content_type
    if len(content_type) > _CONTENT_TYPE_CHARS_MAX or not _CONTENT_TYPE.fullmatch(content_type):
        raise LayoutError(
            f"content_type is {content_type[:80]!r}, expected 1..{_CONTENT_TYPE_CHARS_MAX} "
            "characters of ASCII without control characters"
        )
