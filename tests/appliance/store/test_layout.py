"""What an object looks like on disk."""

import hashlib
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice_appliance.object_key import InvalidObjectKey, parse_key
from sluice_appliance.store.layout import (
    BLOCK_BYTES,
    BLOCK_DIGEST_BYTES,
    BODY_OFFSET,
    WITH_BLOCKS,
    WITHOUT_BLOCKS,
    LayoutError,
    ObjectHeader,
    block_count,
    decode_header,
    decode_page,
    decode_trailer,
    encode_header,
    encode_trailer,
    file_bytes,
    object_path,
    trailer_offset,
)

PART = st.from_regex(r"[A-Za-z0-9._-]{1,128}", fullmatch=True).filter(
    lambda part: part not in {".", ".."}
)
KEYS = st.lists(PART, min_size=1, max_size=8).map("/".join).filter(lambda key: len(key) <= 512)
HEADER = ObjectHeader(parse_key("film/v1/a.mp4"), 5, hashlib.sha256(b"hello").digest(), "video/mp4")


@given(KEYS, st.integers(0, 2**63 - 1), st.binary(min_size=32, max_size=32))
def test_a_header_page_says_exactly_what_was_written(key: str, size: int, digest: bytes) -> None:
    header = ObjectHeader(parse_key(key), size, digest, "video/mp4")
    page = encode_header(header, WITH_BLOCKS)
    assert len(page) == BODY_OFFSET
    assert decode_header(page) == header


@given(st.integers(0, 10 * BLOCK_BYTES), st.randoms(use_true_random=False))
def test_a_trailer_says_the_digests_that_were_written_and_stands_on_a_page_of_its_own(
    size_bytes: int, rng: random.Random
) -> None:
    header = ObjectHeader(HEADER.key, size_bytes, HEADER.sha256, "video/mp4")
    digests = rng.randbytes(block_count(size_bytes) * BLOCK_DIGEST_BYTES)
    trailer = encode_trailer(header, digests)
    assert decode_trailer(header, trailer) == digests
    assert trailer_offset(size_bytes) % 4096 == 0
    assert BODY_OFFSET + size_bytes <= trailer_offset(size_bytes) < BODY_OFFSET + size_bytes + 4096
    assert file_bytes(size_bytes, WITH_BLOCKS) == trailer_offset(size_bytes) + len(trailer)


@given(st.integers(0, 31), st.integers(1, 255))
def test_a_changed_byte_in_the_trailer_is_always_noticed(at: int, change: int) -> None:
    trailer = bytearray(encode_trailer(HEADER, bytes(BLOCK_DIGEST_BYTES)))
    trailer[at] ^= change
    with pytest.raises(LayoutError):
        decode_trailer(HEADER, bytes(trailer))


def test_the_trailer_of_another_object_is_not_taken() -> None:
    other = ObjectHeader(HEADER.key, 5, bytes(32), "video/mp4")
    with pytest.raises(LayoutError, match="CRC-32"):
        decode_trailer(HEADER, encode_trailer(other, bytes(BLOCK_DIGEST_BYTES)))


def test_version_1_is_read_as_it_is_and_versions_to_come_are_refused_by_number() -> None:
    assert decode_page(encode_header(HEADER, WITHOUT_BLOCKS)) == (HEADER, 1)
    assert decode_page(encode_header(HEADER, WITH_BLOCKS)) == (HEADER, 2)
    assert file_bytes(5, WITHOUT_BLOCKS) == BODY_OFFSET + 5
    with pytest.raises(LayoutError, match="has version 3, this program reads 1 and 2"):
        decode_page(encode_header(HEADER, 3))


@given(st.integers(0, 59), st.integers(1, 255))
def test_a_changed_byte_in_the_fields_is_always_noticed(at: int, change: int) -> None:
    page = bytearray(encode_header(HEADER, WITH_BLOCKS))
    page[at] ^= change
    with pytest.raises(LayoutError):
        decode_header(bytes(page))


@given(st.binary(max_size=5000))
def test_bytes_that_are_no_header_are_a_layout_error_and_nothing_else(page: bytes) -> None:
    with pytest.raises(LayoutError):
        decode_header(page)


@pytest.mark.parametrize(
    "content_type", ["", "video/mp4\r\nX: 1", "v\0", "vidéo/mp4", " video/mp4", "a" * 256]
)
def test_a_content_type_that_would_break_a_response_is_not_written(content_type: str) -> None:
    with pytest.raises(LayoutError, match="content_type"):
        encode_header(ObjectHeader(HEADER.key, 5, HEADER.sha256, content_type), WITH_BLOCKS)


@pytest.mark.parametrize("digest", [b"", b"x" * 31, b"x" * 33])
def test_a_digest_of_another_length_is_not_written(digest: bytes) -> None:
    with pytest.raises(LayoutError, match="expected 32"):
        encode_header(ObjectHeader(HEADER.key, 5, digest, "video/mp4"), WITH_BLOCKS)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "/",
        "a/",
        "/a",
        "a//b",
        ".",
        "..",
        "a/../b",
        "a/./b",
        "a b",
        "a%2fb",
        "a\0b",
        "a\n",
        "é",
        "/".join("abcdefghi"),
        "x" * 129,
        "/".join(["x" * 100] * 6),
    ],
)
def test_a_key_that_could_leave_its_place_is_refused(text: str) -> None:
    with pytest.raises(InvalidObjectKey):
        parse_key(text)


@given(KEYS)
def test_a_path_stays_under_the_store_whatever_the_key(key: str) -> None:
    path = object_path("/store", parse_key(key))
    folder, name = path.removeprefix("/store/objects/").split("/")
    assert name.startswith(folder)
    assert len(name) == 64
    assert len(folder) == 2
