"""HTTP's rules over plain values: what RFC 9110 and RFC 9112 say, said to our decisions."""

import base64
import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice_appliance.serving.answers import Part, Response, preflight, refuse
from sluice_appliance.serving.ranges import PARTS_MAX
from sluice_appliance.serving.request import (
    FIELDS,
    REQUEST_BODY_BYTES_MAX,
    TARGET_BYTES_MAX,
    Framing,
    _frame_carefully,
    describe,
    frame,
    respond,
)

BODY = b"0123456789" * 100
DIGEST = hashlib.sha256(BODY).digest()
ETAG = b'"' + DIGEST.hex().encode() + b'"'
# Sun, 06 Nov 1994 08:49:37 GMT
MODIFIED = 784111777
FACTS = describe(len(BODY), DIGEST, "video/mp4", MODIFIED)
HOST = {b"host": b"a"}


def _get(**fields: bytes) -> Response:
    named = {name.replace("_", "-").encode(): value for name, value in fields.items()}
    return respond(b"GET", named, FACTS)


# --- framing ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "version", "fields", "status"),
    [
        (b"GET", "1.1", {}, 400),
        (b"GET", "1.1", {b"host": b"a, b"}, 400),
        (b"GET", "1.1", {b"host": b"a\xff"}, 400),
        (b"GET", "1.1", {b"host": b"user@a"}, 400),
        (b"GET", "1.0", {b"host": b"a, b"}, 400),
        (b"GET", "1.0", {b"transfer-encoding": b"chunked"}, 400),
        (b"GET", "1.1", HOST | {b"transfer-encoding": b"xchunked"}, 400),
        (b"GET", "1.1", HOST | {b"transfer-encoding": b"identity"}, 400),
        (b"GET", "1.1", HOST | {b"transfer-encoding": b"chunked, gzip"}, 400),
        (b"GET", "1.1", HOST | {b"transfer-encoding": b"chunked, chunked"}, 400),
        (b"GET", "1.1", HOST | {b"transfer-encoding": b""}, 400),
        (b"POST", "1.1", HOST | {b"transfer-encoding": b"chunked", b"content-length": b"3"}, 400),
        (b"GET", "1.1", HOST | {b"transfer-encoding": b"gzip, chunked"}, 501),
        (b"GET", "1.1", HOST | {b"transfer-encoding": b" Chunked "}, 411),
        (b"POST", "1.1", HOST | {b"transfer-encoding": b"chunked"}, 405),
        (b"GET", "1.1", HOST | {b"content-length": b"3, 4"}, 400),
        (b"GET", "1.1", HOST | {b"content-length": b"3, 3"}, 400),
        (b"GET", "1.1", HOST | {b"content-length": b"-1"}, 400),
        (b"GET", "1.1", HOST | {b"content-length": b"+1"}, 400),
        (b"GET", "1.1", HOST | {b"content-length": b"0x1"}, 400),
        (b"GET", "1.1", HOST | {b"content-length": b""}, 400),
        (b"GET", "1.1", HOST | {b"content-length": b"9" * 5000}, 413),
        (b"POST", "1.1", HOST, 405),
        (b"CONNECT", "1.1", HOST, 405),
        (b"DELETE", "1.1", HOST, 405),
        (b"PROPFIND", "1.1", HOST, 501),
        (b"BREW", "1.1", HOST, 501),
        (b"get", "1.1", HOST, 501),
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


def test_an_http_1_0_client_cannot_wait_for_100_continue() -> None:
    # RFC 9110, 10.1.1: "MUST ignore that expectation".
    fields = {b"content-length": b"5", b"expect": b"100-continue", b"connection": b"keep-alive"}
    assert frame(b"GET", "1.0", fields) == Framing(True, 5)


def test_white_space_behind_a_value_is_no_part_of_it() -> None:
    # RFC 9112, 5.1: the field value "does not include any leading or trailing whitespace"; the parser
    # leaves what trails.
    assert frame(b"GET", "1.1", {b"host": b"a \t"}) == Framing(True, 0)
    assert frame(b"GET", "1.1", HOST | {b"content-length": b"05 \t"}) == Framing(True, 5)
    assert frame(b"GET", "1.1", HOST | {b"connection": b"close "}) == Framing(False, 0)
    assert frame(b"GET", "1.1", HOST | {b"expect": b"100-continue "}) == Framing(True, 0)
    assert _get(range=b"bytes=0-1 ", if_range=ETAG + b" ").status == 206
    assert _get(if_none_match=ETAG + b" ").status == 304


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
        b"Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT",
        b"Repr-Digest: sha-256=:" + base64.b64encode(DIGEST) + b":",
        b"Cache-Control: public, max-age=31536000, immutable",
        b"Accept-Ranges: bytes",
        b"Access-Control-Allow-Origin: *",
        b"Timing-Allow-Origin: *",
    ):
        assert line in lines


def test_what_is_not_known_of_an_object_is_not_said() -> None:
    assert b"Last-Modified" not in describe(len(BODY), DIGEST, "video/mp4").whole.head


@pytest.mark.parametrize("condition", [{}, {b"if-none-match": ETAG}, {b"if-match": b'"x"'}])
def test_head_is_answered_like_get_without_a_body_and_without_ranges(
    condition: dict[bytes, bytes],
) -> None:
    head = respond(b"HEAD", condition | {b"range": b"bytes=0-1"}, FACTS)
    get = respond(b"GET", condition, FACTS)
    assert (head.status, head.head) == (get.status, get.head)
    assert (head.length, head.rest) == (0, ())


def test_a_part_says_which_part_of_how_much() -> None:
    response = _get(range=b"bytes=10-19")
    assert (response.status, response.offset, response.length) == (206, 10, 10)
    assert b"\r\nContent-Range: bytes 10-19/1000\r\n" in response.head
    assert b"\r\nContent-Length: 10\r\n" in response.head


def test_a_part_outside_the_object_is_416_and_the_connection_lives() -> None:
    response = _get(range=b"bytes=1000-")
    assert (response.status, response.close, response.length) == (416, False, 0)
    assert b"\r\nContent-Range: bytes */1000\r\n" in response.head


def test_absurdly_many_ranges_are_refused_and_cost_no_body() -> None:
    asked = b",".join(b"%d-%d" % (n, n) for n in range(0, 2 * (PARTS_MAX + 1), 2))
    response = _get(range=b"bytes=" + asked)
    assert (response.status, response.close, response.length) == (416, False, 0)
    assert b"\r\nContent-Range: bytes */1000\r\n" in response.head


def test_if_range_sends_the_part_only_of_the_very_same_object() -> None:
    assert _get(range=b"bytes=0-1", if_range=ETAG).status == 206
    for other in (b'"other"', b"W/" + ETAG, b"Sun, 06 Nov 1994 08:49:37 GMT", b""):
        response = _get(range=b"bytes=0-1", if_range=other)
        assert (response.status, response.length) == (200, 1000)


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"if_none_match": ETAG, "range": b"bytes=0-1"}, 304),
        ({"if_match": ETAG, "range": b"bytes=0-1"}, 206),
        ({"if_match": b'"x"', "range": b"bytes=0-1"}, 412),
        ({"if_match": b'"x"', "range": b"bytes=5000-"}, 412),
        ({"if_modified_since": b"Sun, 06 Nov 1994 08:49:37 GMT", "range": b"bytes=0-1"}, 304),
        ({"if_unmodified_since": b"Sun, 06 Nov 1994 08:49:36 GMT"}, 412),
        ({"if_none_match": b'"x"', "if_range": b'"x"', "range": b"bytes=0-1"}, 200),
        ({"if_range": b'"x"'}, 200),
    ],
)
def test_ranges_come_after_preconditions(fields: dict[str, bytes], status: int) -> None:
    assert _get(**fields).status == status


def test_not_modified_carries_what_a_cache_needs_and_no_length() -> None:
    head = _get(if_none_match=ETAG).head
    assert b"ETag: " + ETAG in head
    assert b"Cache-Control: public" in head
    assert b"Repr-Digest: sha-256=:" in head
    assert b"\r\nContent-Length:" not in head
    assert b"\r\nContent-Type:" not in head


def test_a_preflight_lets_a_page_of_any_origin_ask_what_players_ask() -> None:
    head = preflight().head
    assert b"\r\nAccess-Control-Allow-Origin: *\r\n" in head
    assert b"\r\nAccess-Control-Allow-Methods: GET, HEAD, OPTIONS\r\n" in head
    allowed = _listed(head, b"Access-Control-Allow-Headers")
    assert allowed >= {b"Range", b"If-Range", b"If-Modified-Since", b"CMCD-Request"}
    assert b"Authorization" not in allowed


@pytest.mark.parametrize("response", [FACTS.whole, refuse(503, "no"), _get(range=b"bytes=0-1")])
def test_a_page_of_any_origin_may_read_what_is_said_of_an_answer(response: Response) -> None:
    assert b"\r\nAccess-Control-Allow-Origin: *\r\n" in response.head
    assert b"\r\nTiming-Allow-Origin: *\r\n" in response.head
    assert _listed(response.head, b"Access-Control-Expose-Headers") >= {
        b"Cache-Status",
        b"Content-Range",
        b"ETag",
        b"Repr-Digest",
        b"Retry-After",
    }


def _listed(head: bytes, name: bytes) -> set[bytes]:
    (line,) = (line for line in head.split(b"\r\n") if line.startswith(name + b": "))
    return set(line.partition(b": ")[2].split(b", "))


@given(
    st.sampled_from([b"GET", b"HEAD"]),
    st.dictionaries(
        st.sampled_from(sorted(FIELDS)),
        st.sampled_from([ETAG, b"bytes=5-", b"bytes=-1,0-9", b"*"]) | st.binary(max_size=20),
    ),
)
def test_every_answer_is_one_well_formed_head_within_the_object(
    method: bytes, fields: dict[bytes, bytes]
) -> None:
    response = respond(method, fields, FACTS)
    assert response.head.startswith(b"HTTP/1.1 %d " % response.status)
    assert response.head.endswith(b"\r\n")
    assert b"\r\n\r\n" not in response.head
    for _, offset, length in (Part(b"", response.offset, response.length), *response.rest):
        assert 0 <= offset <= offset + length <= len(BODY)


@given(
    st.sampled_from([b"GET", b"HEAD", b"OPTIONS", b"POST", b"BREW"]),
    st.sampled_from(["1.1", "1.0", "0.9", "2.0"]),
    st.dictionaries(
        st.sampled_from(sorted(FIELDS)),
        st.sampled_from(
            [
                b"a",
                b"a, b",
                b"a b",
                b"a:80 ",
                b"chunked",
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
