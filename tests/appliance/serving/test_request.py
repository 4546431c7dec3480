"""HTTP's rules over plain values: what RFC 9110 and RFC 9112 say, said to our decisions."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice_appliance.object_key import ObjectKey
from sluice_appliance.serving.ranges import NoRange, read_range
from sluice_appliance.serving.request import (
    REQUEST_BODY_BYTES_MAX,
    TARGET_BYTES_MAX,
    Framing,
    Response,
    _frame_carefully,
    describe,
    frame,
    preflight,
    read_target,
    respond,
)

BODY = b"0123456789" * 100
DIGEST = hashlib.sha256(BODY).digest()
ETAG = b'"' + DIGEST.hex().encode() + b'"'
FACTS = describe(len(BODY), DIGEST, "video/mp4")
HOST = {b"host": b"a"}


def _get(**fields: bytes) -> Response:
    named = {name.replace("_", "-").encode(): value for name, value in fields.items()}
    return respond(b"GET", named, FACTS)


# --- ranges -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        (b"bytes=0-0", (0, 1)),
        (b"bytes=0-999", (0, 1000)),
        (b"bytes=990-", (990, 10)),
        (b"bytes=-10", (990, 10)),
        (b"bytes=-5000", (0, 1000)),
        (b"bytes=5-99999999999999999999999999", (5, 995)),
        (b"BYTES = 1-2", (1, 2)),
        (b"bytes=0000000000000000000000000000000001-2", (1, 2)),
        (b"bytes=1000-", NoRange.UNSATISFIABLE),
        (b"bytes=1000-2000", NoRange.UNSATISFIABLE),
        (b"bytes=" + b"9" * 7000 + b"-", NoRange.UNSATISFIABLE),
        (b"bytes=-0", NoRange.UNSATISFIABLE),
        (b"bytes=5-4", NoRange.WHOLE),
        (b"bytes=0-1,5-6", NoRange.WHOLE),
        (b"bytes=", NoRange.WHOLE),
        (b"bytes=-", NoRange.WHOLE),
        (b"bytes=a-b", NoRange.WHOLE),
        (b"bytes=+1-2", NoRange.WHOLE),
        (b"bytes=1--2", NoRange.WHOLE),
        (b"items=0-1", NoRange.WHOLE),
        (b"0-1", NoRange.WHOLE),
        (b"", NoRange.WHOLE),
    ],
)
def test_a_range_field_means_what_rfc_9110_says(
    field: bytes, expected: tuple[int, int] | NoRange
) -> None:
    assert read_range(field, 1000) == expected


def test_no_range_of_an_empty_object_is_sent_as_a_part() -> None:
    assert read_range(b"bytes=0-", 0) is NoRange.UNSATISFIABLE
    assert read_range(b"bytes=-5", 0) is NoRange.WHOLE


@given(st.binary(max_size=40) | st.from_regex(rb"bytes=[0-9]{0,3}-[0-9]{0,3}"), st.integers(0, 999))
def test_a_range_lies_within_the_object_whatever_is_asked(field: bytes, size_bytes: int) -> None:
    found = read_range(field, size_bytes)
    if isinstance(found, tuple):
        offset, length = found
        assert 0 <= offset < offset + length <= size_bytes


# --- targets ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "target",
    [
        b"/film/v1/a.mp4",
        b"/film/v1/a.mp4?token=1&x=/../",
        b"/film/v1/%61.mp4",
        b"http://box.example:8081/film/v1/a.mp4",
        b"HTTPS://box.example/film/v1/a.mp4?q",
    ],
)
def test_every_spelling_of_a_target_names_the_same_object(target: bytes) -> None:
    assert read_target(target) == ObjectKey("film/v1/a.mp4")


@pytest.mark.parametrize(
    ("target", "status"),
    [
        (b"*", 400),
        (b"", 404),
        (b"film", 400),
        (b"/../etc/passwd", 400),
        (b"/film/%2e%2E/secret", 400),
        (b"/film/./a", 400),
        (b"/film/a%00.mp4", 400),
        (b"/film/a%0d%0ab", 400),
        (b"/film/%zz", 400),
        (b"/film/%", 400),
        (b"/film/a b", 400),
        (b"/film/\xc3\xa9", 400),
        (b"/film/a#b", 400),
        (b"/film\\a", 400),
        (b"ftp://h/a", 400),
        (b"/", 404),
        (b"//a", 404),
        (b"/film/", 404),
        (b"/a/b/c/d/e/f/g/h/i", 404),
        (b"/film/~a", 404),
        (b"/film%2F..%2Fa", 400),
        (b"/" + b"a" * 600, 404),
        (b"/%C3%A9", 404),
        (b"http://box.example", 404),
    ],
)
def test_a_target_that_names_no_object_is_refused(target: bytes, status: int) -> None:
    found = read_target(target)
    assert isinstance(found, Response)
    assert found.status == status
    assert found.close is (status == 400)


@given(st.binary(max_size=60).map(lambda tail: b"/" + tail))
def test_no_target_reaches_outside_the_keys(target: bytes) -> None:
    found = read_target(target)
    if not isinstance(found, Response):
        assert not {"", ".", ".."} & set(found.split("/"))


# --- framing ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "version", "fields", "status"),
    [
        (b"GET", "1.1", {}, 400),
        (b"GET", "1.1", {b"host": b"a, b"}, 400),
        (b"GET", "1.1", HOST | {b"transfer-encoding": b"chunked"}, 400),
        (b"GET", "1.0", {b"transfer-encoding": b"chunked"}, 400),
        (b"GET", "1.1", HOST | {b"content-length": b"3, 4"}, 400),
        (b"GET", "1.1", HOST | {b"content-length": b"-1"}, 400),
        (b"POST", "1.1", HOST, 405),
        (b"CONNECT", "1.1", HOST, 405),
        (b"DELETE", "1.1", HOST, 405),
        (b"PROPFIND", "1.1", HOST, 501),
        (b"BREW", "1.1", HOST, 501),
        (b"GET", "2.0", HOST, 505),
        (b"GET", "0.9", {}, 505),
        (b"GET", "1.1", HOST | {b"content-length": b"%d" % (REQUEST_BODY_BYTES_MAX + 1)}, 413),
        (b"GET", "1.1", HOST | {b"expect": b"a miracle"}, 417),
    ],
)
def test_a_request_that_may_not_stand_is_refused_and_its_connection_ends(
    method: bytes, version: str, fields: dict[bytes, bytes], status: int
) -> None:
    found = frame(method, version, fields)
    assert isinstance(found, Response)
    assert (found.status, found.close) == (status, True)
    assert (b"\r\nAllow: GET, HEAD, OPTIONS\r\n" in found.head) is (status == 405)


def test_a_target_beyond_the_limit_is_414() -> None:
    assert isinstance(frame(b"GET", "1.1", HOST, TARGET_BYTES_MAX), Framing)
    found = frame(b"GET", "1.1", HOST, TARGET_BYTES_MAX + 1)
    assert isinstance(found, Response)
    assert found.status == 414


@pytest.mark.parametrize(
    ("version", "connection", "keeps"),
    [
        ("1.1", b"", True),
        ("1.1", b"keep-alive", True),
        ("1.1", b"Close", False),
        ("1.1", b"te, close", False),
        ("1.0", b"", False),
        ("1.0", b"Keep-Alive", True),
        ("1.0", b"keep-alive, close", False),
    ],
)
def test_a_connection_lives_on_as_its_version_and_field_say(
    version: str, connection: bytes, keeps: bool
) -> None:
    fields = HOST | ({b"connection": connection} if connection else {})
    assert frame(b"GET", version, fields) == Framing(keeps, 0)


def test_a_body_that_waits_for_100_continue_is_answered_without_it() -> None:
    fields = HOST | {b"content-length": b"5"}
    assert frame(b"GET", "1.1", fields) == Framing(True, 5)
    assert frame(b"GET", "1.1", fields | {b"expect": b"100-Continue"}) == Framing(False, 0)
    assert frame(b"GET", "1.1", HOST | {b"expect": b"100-continue"}) == Framing(True, 0)


# --- responses --------------------------------------------------------------------------------------


def test_the_whole_object_is_described_for_caches_and_players() -> None:
    response = _get()
    assert (response.status, response.offset, response.length) == (200, 0, 1000)
    lines = response.head.split(b"\r\n")
    assert lines[0] == b"HTTP/1.1 200 OK"
    for line in (
        b"Content-Length: 1000",
        b"Content-Type: video/mp4",
        b"ETag: " + ETAG,
        b"Cache-Control: public, max-age=31536000, immutable",
        b"Accept-Ranges: bytes",
        b"Access-Control-Allow-Origin: *",
        b"Timing-Allow-Origin: *",
    ):
        assert line in lines


def test_head_is_answered_like_get_without_a_body_and_without_ranges() -> None:
    response = respond(b"HEAD", {b"range": b"bytes=0-1"}, FACTS)
    assert (response.status, response.length) == (200, 0)
    assert response.head == _get().head


def test_a_part_says_which_part_of_how_much() -> None:
    response = _get(range=b"bytes=10-19")
    assert (response.status, response.offset, response.length) == (206, 10, 10)
    assert b"\r\nContent-Range: bytes 10-19/1000\r\n" in response.head
    assert b"\r\nContent-Length: 10\r\n" in response.head


def test_a_part_outside_the_object_is_416_and_the_connection_lives() -> None:
    response = _get(range=b"bytes=1000-")
    assert (response.status, response.close, response.length) == (416, False, 0)
    assert b"\r\nContent-Range: bytes */1000\r\n" in response.head


def test_if_range_sends_the_part_only_of_the_very_same_object() -> None:
    assert _get(range=b"bytes=0-1", if_range=ETAG).status == 206
    for other in (b'"other"', b"W/" + ETAG, b"Wed, 21 Oct 2015 07:28:00 GMT", b""):
        response = _get(range=b"bytes=0-1", if_range=other)
        assert (response.status, response.length) == (200, 1000)


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"if_none_match": ETAG}, 304),
        ({"if_none_match": b"W/" + ETAG}, 304),
        ({"if_none_match": b'"x", ' + ETAG}, 304),
        ({"if_none_match": b"*"}, 304),
        ({"if_none_match": b'"x"'}, 200),
        ({"if_match": ETAG}, 200),
        ({"if_match": b"*"}, 200),
        ({"if_match": b"W/" + ETAG}, 412),
        ({"if_match": b'"x"'}, 412),
        ({"if_match": b'"x"', "if_none_match": ETAG}, 412),
        ({"if_match": ETAG, "if_none_match": ETAG}, 304),
        ({"if_none_match": ETAG, "range": b"bytes=0-1"}, 304),
        ({"if_match": ETAG, "range": b"bytes=0-1"}, 206),
    ],
)
def test_preconditions_are_weighed_in_the_order_of_rfc_9110(
    fields: dict[str, bytes], status: int
) -> None:
    assert _get(**fields).status == status


def test_not_modified_carries_what_a_cache_needs_and_no_length() -> None:
    head = _get(if_none_match=ETAG).head
    assert b"ETag: " + ETAG in head
    assert b"Cache-Control: public" in head
    assert b"\r\nContent-Length:" not in head


def test_a_preflight_lets_a_page_of_any_origin_ask_for_ranges() -> None:
    head = preflight().head
    assert b"\r\nAccess-Control-Allow-Origin: *\r\n" in head
    assert b"\r\nAccess-Control-Allow-Methods: GET, HEAD, OPTIONS\r\n" in head
    assert b"\r\nAccess-Control-Allow-Headers: Range," in head


@given(
    st.sampled_from([b"GET", b"HEAD"]),
    st.dictionaries(
        st.sampled_from([b"range", b"if-range", b"if-match", b"if-none-match"]),
        st.sampled_from([ETAG, b"bytes=5-", b"bytes=-1", b"*"]) | st.binary(max_size=20),
    ),
)
def test_every_answer_is_one_well_formed_head_within_the_object(
    method: bytes, fields: dict[bytes, bytes]
) -> None:
    response = respond(method, fields, FACTS)
    assert response.head.startswith(b"HTTP/1.1 %d " % response.status)
    assert response.head.endswith(b"\r\n")
    assert b"\r\n\r\n" not in response.head
    assert 0 <= response.offset <= response.offset + response.length <= len(BODY)


@given(
    st.sampled_from([b"GET", b"HEAD", b"OPTIONS", b"POST", b"BREW"]),
    st.sampled_from(["1.1", "1.0", "0.9", "2.0"]),
    st.dictionaries(
        st.sampled_from([b"host", b"range", b"connection", b"content-length", b"expect"]),
        st.sampled_from(
            [
                b"a",
                b"a, b",
                b"a b",
                b"close",
                b"keep-alive",
                b"Keep-Alive",
                b"3",
                b"100-continue",
                b"",
            ]
        ),
    ),
    st.sampled_from([5, TARGET_BYTES_MAX, TARGET_BYTES_MAX + 1]),
)
def test_the_short_way_through_framing_comes_to_what_the_careful_way_does(
    method: bytes, version: str, fields: dict[bytes, bytes], target_bytes: int
) -> None:
    assert frame(method, version, fields, target_bytes) == _frame_carefully(
        method, version, fields, target_bytes
    )
