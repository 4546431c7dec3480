"""What an object looks like on disk."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice_appliance.object_key import InvalidObjectKey, parse_key
from sluice_appliance.store.layout import (
    BODY_OFFSET,
    LayoutError,
    ObjectHeader,
    decode_header,
    encode_header,
    object_path,
)

PART = st.from_regex(r"[A-Za-z0-9._-]{1,128}", fullmatch=True).filter(
    lambda part: part not in {".", ".."}
)
KEYS = st.lists(PART, min_size=1, max_size=8).map("/".join).filter(lambda key: len(key) <= 512)
HEADER = ObjectHeader(parse_key("film/v1/a.mp4"), 5, hashlib.sha256(b"hello").digest(), "video/mp4")


@given(KEYS, st.integers(0, 2**63 - 1), st.binary(min_size=32, max_size=32))
def test_a_header_page_says_exactly_what_was_written(key: str, size: int, digest: bytes) -> None:
    header = ObjectHeader(parse_key(key), size, digest, "video/mp4")
    page = encode_header(header)
    assert len(page) == BODY_OFFSET
    assert decode_header(page) == header


@given(st.integers(0, 59), st.integers(1, 255))
def test_a_changed_byte_in_the_fields_is_always_noticed(at: int, change: int) -> None:
    page = bytearray(encode_header(HEADER))
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
        encode_header(ObjectHeader(HEADER.key, 5, HEADER.sha256, content_type))


@pytest.mark.parametrize("digest", [b"", b"x" * 31, b"x" * 33])
def test_a_digest_of_another_length_is_not_written(digest: bytes) -> None:
    with pytest.raises(LayoutError, match="expected 32"):
        encode_header(ObjectHeader(HEADER.key, 5, digest, "video/mp4"))


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
