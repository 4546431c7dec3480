"""Several ranges in one answer, put together here as the connection sends them and read by `email`."""

import email
import email.message
import hashlib

from hypothesis import given
from hypothesis import strategies as st

from sluice_appliance.serving.answers import Response
from sluice_appliance.serving.ranges import NoRange, read_ranges
from sluice_appliance.serving.request import describe, respond

BODY = bytes(range(256)) * 4
DIGEST = hashlib.sha256(BODY).digest()
FACTS = describe(len(BODY), DIGEST, "video/mp4")


def sent(response: Response, body: bytes = BODY) -> bytes:
    """What follows the head on the wire."""
    pieces = [response.text, body[response.offset : response.offset + response.length]]
    for part in response.rest:
        pieces += [part.text, body[part.offset : part.offset + part.length]]
    return b"".join(pieces)


def field_of(response: Response, name: bytes) -> bytes | None:
    lines = (line.partition(b": ") for line in response.head.split(b"\r\n"))
    return next((value for found, _, value in lines if found == name), None)


def parts_of(response: Response) -> list[tuple[str, str, bytes]]:
    """(Content-Type, Content-Range, bytes) of each part, by a parser of others."""
    media = field_of(response, b"Content-Type") or b""
    message = email.message_from_bytes(b"Content-Type: " + media + b"\r\n\r\n" + sent(response))
    assert not message.defects
    parts = message.get_payload()
    assert isinstance(parts, list)
    found = []
    for part in parts:
        assert isinstance(part, email.message.Message)
        payload = part.get_payload(decode=True)
        assert isinstance(payload, bytes)
        found.append((str(part["Content-Type"]), str(part["Content-Range"]), payload))
    return found


def test_several_ranges_come_as_parts_that_say_where_they_belong() -> None:
    response = respond(b"GET", {b"range": b"bytes=700-701,0-9,-1"}, FACTS)
    assert response.status == 206
    media = field_of(response, b"Content-Type") or b""
    assert media.startswith(b"multipart/byteranges; boundary=")
    assert field_of(response, b"Content-Range") is None
    boundary = media.partition(b"=")[2]
    assert (
        sent(response)
        == b"".join(
            b"%b--%b\r\nContent-Type: video/mp4\r\nContent-Range: bytes %b/1024\r\n\r\n%b"
            % (b"\r\n" if place else b"", boundary, where, part)
            for place, (where, part) in enumerate(
                ((b"700-701", BODY[700:702]), (b"0-9", BODY[:10]), (b"1023-1023", BODY[-1:]))
            )
        )
        + b"\r\n--%b--\r\n" % boundary
    )


def test_the_length_of_several_parts_is_that_of_all_that_is_sent() -> None:
    response = respond(b"GET", {b"range": b"bytes=0-0,500-,100-199"}, FACTS)
    assert field_of(response, b"Content-Length") == b"%d" % len(sent(response))


def test_parts_of_the_whole_carry_the_validators_and_digest_of_the_whole() -> None:
    response = respond(b"GET", {b"range": b"bytes=0-0,5-5"}, FACTS)
    assert field_of(response, b"ETag") == FACTS.etag
    assert (field_of(response, b"Repr-Digest") or b"").startswith(b"sha-256=:")


def test_ranges_that_come_to_one_are_no_multipart() -> None:
    # RFC 9110, 15.3.7.2: a client that asks for one range may know nothing of parts.
    response = respond(b"GET", {b"range": b"bytes=0-9,10-19"}, FACTS)
    assert (response.status, response.length, response.rest) == (206, 20, ())
    assert field_of(response, b"Content-Range") == b"bytes 0-19/1024"
    assert field_of(response, b"Content-Type") == b"video/mp4"


def test_a_boundary_does_not_occur_in_the_body_that_it_divides() -> None:
    boundary = FACTS.boundary
    assert boundary not in BODY
    assert len(boundary) <= 70
    assert describe(5, hashlib.sha256(b"other").digest(), "video/mp4").boundary != boundary


@given(st.lists(st.tuples(st.integers(0, 1100), st.integers(0, 300)), min_size=2, max_size=8))
def test_every_set_of_ranges_can_be_put_together_again(asked: list[tuple[int, int]]) -> None:
    field = b"bytes=" + b",".join(b"%d-%d" % (first, first + more) for first, more in asked)
    response = respond(b"GET", {b"range": field}, FACTS)
    spans = read_ranges(field, len(BODY))
    if isinstance(spans, NoRange) or len(spans) == 1:
        assert response.rest == ()
        return
    assert parts_of(response) == [
        ("video/mp4", f"bytes {offset}-{offset + length - 1}/1024", BODY[offset : offset + length])
        for offset, length in spans
    ]
