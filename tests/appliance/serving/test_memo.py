"""The memo says of bytes what the parser would say of them, or nothing."""

from collections.abc import Mapping
from itertools import permutations

from appliance.serving.worker_by_hand import new_row
from hypothesis import given, settings
from hypothesis import strategies as st

from sluice_appliance.serving.answers import Response
from sluice_appliance.serving.memo import BLOCKS_MAX, HeadMemo
from sluice_appliance.serving.reader import RequestReader
from sluice_appliance.serving.request import TARGET_BYTES_MAX, is_leaving, read_target

PLAIN = b"GET /film/v1/a HTTP/1.1\r\nHost: a\r\nUser-Agent: b\r\n\r\n"
LAST = PLAIN.replace(b"User-Agent: b", b"Connection: close")
OLD = PLAIN.replace(b"HTTP/1.1", b"HTTP/1.0")
RANGED = b"GET /film/v1/a HTTP/1.1\r\nHost: a\r\nRange: bytes=5-9\r\nUser-Agent: b\r\n\r\n"

Read = tuple[bytes, Mapping[bytes, bytes]]


def read_anew(data: bytes) -> Read | None:
    """What one whole GET says that leaves nothing open; None for all else."""
    reader = RequestReader(new_row(), HeadMemo())
    reader.feed(data)
    if len(reader.queue) != 1 or reader.in_message:
        return None
    (asked,) = reader.queue
    fields = asked.fields
    if asked.http_1_0:
        fields = {**fields, b"connection": b"close"}
    if not reader.ending == asked.last == is_leaving(fields):
        return None
    if asked.refusal is not None or asked.method != b"GET":
        return None
    return asked.target, fields


def after(*learned: bytes) -> HeadMemo:
    """A memo that has seen these reads, each of a connection of its own."""
    memo = HeadMemo()
    for data in learned:
        RequestReader(new_row(), memo).feed(data)
    return memo


def agrees(memo: HeadMemo, data: bytes) -> bool:
    """Whether the memo says what the parser says, or nothing. A path that is none it may leave to
    `read_target`, which refuses it."""
    known = memo.recall(data)
    if known is None or known == read_anew(data):
        return True
    found = read_target(known[0])
    return read_anew(data) is None and isinstance(found, Response) and found.status == 400


# --- the law ----------------------------------------------------------------------------------------

_LINES = st.sampled_from(
    [
        b"Host: a\r\n",
        b"Host: b\r\n",
        b"host: a\r\n",
        b"Accept: */*\r\n",
        b"X:\r\n",
        b"Range: bytes=0-9\r\n",
        b"Range: bytes=-5\r\n",
        b"range: bytes=1-\r\n",
        b"Range: bytes=0-1,3-4\r\n",
        b"Range: lines=0-1\r\n",
        b"Range: bytes=0-9 \r\n",
        b"If-Range: x\r\n",
        b"If-None-Match: *\r\n",
        b"Connection: close\r\n",
        b"Connection: keep-alive\r\n",
        b"Connection: upgrade\r\nUpgrade: h2c\r\n",
        b"Content-Length: 0\r\n",
        b"Content-Length: 3\r\n",
        b"Expect: 100-continue\r\n",
        b"CDN-Loop: x\r\n",
        b"CMCD-Request: bl=1\r\n",
        b" folded\r\n",
        b"Bare: x\n",
        b"\r\r\n",
        b"\r\n",
    ]
)
_STARTS = st.sampled_from(
    [
        b"GET /a HTTP/1.1\r\n",
        b"GET /b?c=d HTTP/1.1\r\n",
        b"GET /a  HTTP/1.1\r\n",
        b"GET /a b HTTP/1.1\r\n",
        b'GET /a?"# HTTP/1.1\r\n',
        b"GET /a HTTP/1.0\r\n",
        b"GET http://a/b HTTP/1.1\r\n",
        b"HEAD /a HTTP/1.1\r\n",
        b"\r\nGET /a HTTP/1.1\r\n",
        b"GET /a\r\nGET /b HTTP/1.1\r\n",
    ]
)
_ENDS = st.sampled_from([b"\r\n", b"\r\n", b"", b"\n", b"\r\nGET /a HTTP/1.1\r\nHost: a\r\n\r\n"])


@st.composite
def _requests(draw: st.DrawFn) -> bytes:
    lines = draw(st.lists(_LINES, max_size=4))
    return draw(_STARTS) + b"".join(lines) + draw(_ENDS)


@st.composite
def _mutants(draw: st.DrawFn, of: bytes) -> bytes:
    """The same with a piece of it gone, or another put in."""
    start = draw(st.integers(0, len(of)))
    end = start + draw(st.integers(0, 3))
    piece = st.sampled_from(
        [b"\r\nRange: bytes=0-1", b"\r\n", b"\r", b"\n", b" ", b"\0", b"?", b":"]
    )
    return of[:start] + draw(piece | st.binary(max_size=2)) + of[end:]


@settings(max_examples=600)
@given(learned=st.lists(_requests(), max_size=4), data=st.data())
def test_what_is_recalled_is_what_the_parser_reads_of_the_same_bytes(
    learned: list[bytes], data: st.DataObject
) -> None:
    memo = after(PLAIN, RANGED, *learned)
    asked = data.draw(_requests() | st.sampled_from([PLAIN, RANGED, *learned]))
    for each in (asked, data.draw(_mutants(asked))):
        assert agrees(memo, each), (memo.recall(each), read_anew(each))


def test_no_byte_put_anywhere_into_a_known_request_is_misread() -> None:
    memo = after(PLAIN, RANGED)
    for known in (PLAIN, RANGED, PLAIN.replace(b"/v1/a", b"/a?b=%2f")):
        for at in range(len(known) + 1):
            for byte in range(256):
                for end in (at, at + 1):
                    mutant = known[:at] + bytes((byte,)) + known[end:]
                    assert agrees(memo, mutant), mutant


def test_no_line_of_a_range_is_found_where_the_parser_finds_none() -> None:
    memo = after(PLAIN)
    for line in (b"\r\nRange: bytes=5-9", b"Range: bytes=5-9\r\n", b"\r\nRange: bytes=5-9\r\n"):
        for at in range(len(PLAIN) + 1):
            for end in (at, at + 1, at + 2):
                mutant = PLAIN[:at] + line + PLAIN[end:]
                assert agrees(memo, mutant), mutant


# --- that it remembers at all -----------------------------------------------------------------------


def test_another_target_and_another_range_are_read_by_the_same_memory() -> None:
    memo = after(RANGED)
    other = RANGED.replace(b"5-9", b"1000-").replace(b"/film/v1/a", b"/film/v2/b?CAT=c")
    assert memo.recall(other) == (
        b"/film/v2/b?CAT=c",
        {b"host": b"a", b"range": b"bytes=1000-"},
    )
    assert memo.recall(PLAIN) == (b"/film/v1/a", {b"host": b"a"})
    assert after(PLAIN).recall(RANGED) == (b"/film/v1/a", {b"host": b"a", b"range": b"bytes=5-9"})


def test_what_is_plainly_the_last_of_its_connection_is_remembered_as_that() -> None:
    known = after(LAST).recall(LAST)
    assert known is not None
    assert is_leaving(known[1])
    for one, other in permutations((PLAIN, LAST, OLD), 2):
        assert after(one).recall(other) is None


def test_http_1_0_is_the_last_of_its_connection_unless_it_says_otherwise() -> None:
    known = after(OLD).recall(OLD)
    assert known is not None
    assert is_leaving(known[1])
    staying = OLD.replace(b"User-Agent: b", b"Connection: keep-alive")
    assert after(staying).recall(staying) is None


def test_what_leaves_something_open_or_is_followed_by_more_is_not_remembered() -> None:
    for data in (
        PLAIN + PLAIN,
        LAST + PLAIN,
        LAST + b"x",
        PLAIN[:-1],
        PLAIN.replace(b"User-Agent: b", b"Connection: keep-alive, close"),
        PLAIN.replace(b"User-Agent: b", b"Connection: upgrade\r\nUpgrade: h2c"),
        PLAIN.replace(b"User-Agent: b", b"Content-Length: 1") + b"x",
        PLAIN.replace(b"GET", b"HEAD"),
        PLAIN.replace(b"User-Agent: b", b"CMCD-Request: bl=100"),
        PLAIN.replace(b"User-Agent: b", b"X: " + b"x" * 4096),
    ):
        assert after(data).recall(data) is None, data


def test_a_target_beyond_the_bound_is_left_to_the_parser_that_refuses_it() -> None:
    memo = after(PLAIN)
    longest = b"/" + b"a" * (TARGET_BYTES_MAX - 1)
    assert memo.recall(PLAIN.replace(b"/film/v1/a", longest)) is not None
    assert memo.recall(PLAIN.replace(b"/film/v1/a", longest + b"a")) is None


def test_it_holds_two_generations_of_blocks_and_keeps_those_that_are_asked_for() -> None:
    memo = after(PLAIN)
    for number in range(20 * BLOCKS_MAX):
        memo.learn(b"GET / HTTP/1.1\r\nHost: %d\r\n\r\n" % number, {b"host": b"%d" % number})
        assert memo.recall(PLAIN) is not None
    assert len(memo._young) <= BLOCKS_MAX
    assert len(memo._old) <= BLOCKS_MAX
    assert memo.recall(b"GET / HTTP/1.1\r\nHost: 0\r\n\r\n") is None
