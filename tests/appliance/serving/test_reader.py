"""A reader reads the same requests however its bytes are cut, and remembers only what is whole."""

from itertools import pairwise

import pytest
from appliance.serving.worker_by_hand import new_row
from hypothesis import given
from hypothesis import strategies as st

from sluice_appliance.serving import tally
from sluice_appliance.serving.memo import HeadMemo
from sluice_appliance.serving.reader import Asked, RequestReader
from sluice_appliance.serving.request import HEAD_BYTES_MAX, TARGET_BYTES_MAX

GET = b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n"
HEAD = b"HEAD /b HTTP/1.1\r\nHost: a\r\nRange: bytes=0-1\r\n\r\n"
WITH_BODY = b"GET /c HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello"
LAST = b"GET /d HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
OLD = b"GET /e HTTP/1.0\r\n\r\n"
BAD = b"GET /f HTTP/1.1\r\n\r\n"
WORSE = b"GET /g\0 HTTP/1.1\r\nHost: a\r\n\r\n"

_SOME = st.lists(st.sampled_from([GET, HEAD, WITH_BODY, LAST, OLD, BAD, WORSE]), max_size=6)


def read(*pieces: bytes) -> tuple[list[Asked], RequestReader]:
    reader = RequestReader(new_row(), HeadMemo())
    for piece in pieces:
        if not reader.ending:
            reader.feed(piece)
    return list(reader.queue), reader


@given(requests=_SOME, cuts=st.lists(st.integers(0, 400), max_size=5))
def test_what_is_read_does_not_depend_on_where_it_is_cut(
    requests: list[bytes], cuts: list[int]
) -> None:
    together = b"".join(requests)
    places = sorted({0, len(together), *(cut for cut in cuts if cut < len(together))})
    pieces = [together[start:end] for start, end in pairwise(places)]
    whole, _ = read(together)
    cut, _ = read(*pieces)
    assert [(each.method, each.target, dict(each.fields), each.last) for each in cut] == [
        (each.method, each.target, dict(each.fields), each.last) for each in whole
    ]
    assert [each.refusal and each.refusal.status for each in cut] == [
        each.refusal and each.refusal.status for each in whole
    ]


@given(requests=_SOME)
def test_nothing_is_read_behind_the_last_request_of_a_connection(requests: list[bytes]) -> None:
    found, reader = read(b"".join(requests))
    lasts = [each.last for each in found]
    assert True not in lasts[:-1]
    assert reader.ending == (True in lasts)


def test_a_reader_that_is_between_two_messages_may_be_let_go() -> None:
    for data, idle in ((GET, True), (GET[:5], False), (WITH_BODY[:-1], False), (LAST, False)):
        _, reader = read(data)
        assert not (reader.queue and reader.idle)
        reader.queue.clear()
        assert reader.idle is idle, data


def test_only_a_whole_request_in_one_read_is_learned() -> None:
    for pieces, known in (
        ((GET,), True),
        ((GET[:7], GET[7:]), False),
        ((WITH_BODY[:-5], b"hello"), False),
        ((GET + GET,), False),
        ((WITH_BODY[:-1], WITH_BODY[-1:] + GET), False),
        ((HEAD,), False),
    ):
        memo = HeadMemo()
        reader = RequestReader(new_row(), memo)
        for piece in pieces:
            reader.feed(piece)
        assert (memo.recall(GET) is not None) is known, pieces


@pytest.mark.parametrize(
    ("beginning", "status"),
    [
        (b"GET /" + b"a" * TARGET_BYTES_MAX, 414),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: ", 431),
        (b"GET / HTTP/1.1\r\nHost: a\r\n", 431),
    ],
)
def test_a_head_without_end_is_refused_within_its_bound(beginning: bytes, status: int) -> None:
    reader = RequestReader(new_row(), HeadMemo())
    reader.feed(beginning)
    fed = len(beginning)
    while not reader.ending:
        reader.feed(b"x" * 500 if beginning.endswith(b"X: ") else b"X: y\r\n" * 80)
        fed += 500
        assert fed < 2 * HEAD_BYTES_MAX
    (asked,) = reader.queue
    assert asked.refusal is not None
    assert asked.refusal.status == status


def test_requests_and_heads_that_take_too_long_are_counted() -> None:
    row = new_row()
    reader = RequestReader(row, HeadMemo())
    reader.feed(GET + GET + GET[:9])
    assert row[tally.REQUESTS] == 2
    reader.time_out(10.0)
    assert row[tally.TIMEOUT_HEAD] == 1
    assert [each.refusal and each.refusal.status for each in reader.queue] == [None, None, 408]
    assert reader.queue[-1].last
