"""What a source's answer is worth, from its head alone."""

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice_appliance.fill.http_answer import Answer, Asked, Cut, headers_for, judge
from sluice_appliance.fill.sources import (
    FaultKind,
    Source,
    SourceFailed,
    SourceKind,
    due,
    next_due_s,
    spread,
)

PIECE = Asked(100, 200, 1000)
WHOLE = Asked(0, 1000, 1000)


def fault(status: int, headers: Mapping[str, str], asked: Asked = PIECE) -> SourceFailed:
    with pytest.raises(SourceFailed) as failed:
        judge(status, headers, asked)
    return failed.value


def test_all_is_asked_for_without_a_range_and_the_rest_with_an_open_one() -> None:
    assert headers_for(WHOLE) == {}
    assert headers_for(Asked(5, 1000, 1000)) == {"Range": "bytes=5-"}
    assert headers_for(PIECE) == {"Range": "bytes=100-199"}
    assert headers_for(Asked(0, 1000, 1000, '"a"')) == {"If-Match": '"a"'}


def test_a_range_that_was_asked_for_or_holds_it_is_taken() -> None:
    assert judge(206, {"Content-Range": "bytes 100-199/1000"}, PIECE) == Answer(
        0, False, False, None
    )
    assert judge(206, {"Content-Range": "bytes 90-209/*"}, PIECE) == Answer(10, True, False, None)


@pytest.mark.parametrize(
    "said", ["", "bytes 101-200/1000", "bytes 100-198/1000", "bytes */1000", "items 100-199/1000"]
)
def test_another_range_is_blamed(said: str) -> None:
    assert fault(206, {"Content-Range": said}).fault is FaultKind.WRONG_RANGE


def test_a_source_that_knows_no_ranges_is_used_and_known() -> None:
    assert judge(200, {"Content-Length": "1000"}, PIECE) == Answer(100, True, True, None)
    assert judge(200, {}, WHOLE) == Answer(0, False, False, None)


def test_another_size_is_blamed_before_a_byte_came() -> None:
    assert fault(200, {"Content-Length": "1001"}).fault is FaultKind.OVERLONG
    assert fault(206, {"Content-Range": "bytes 100-199/900"}).fault is FaultKind.TRUNCATED
    assert fault(416, {"Content-Range": "bytes */50"}).fault is FaultKind.TRUNCATED


def test_an_object_that_changed_in_mid_fetch_is_seen_by_its_tag() -> None:
    asked = Asked(100, 200, 1000, '"a"')
    found = {"Content-Range": "bytes 100-199/1000"}
    assert fault(412, {}, asked).fault is FaultKind.CHANGED
    assert fault(206, found | {"ETag": '"b"'}, asked).fault is FaultKind.CHANGED
    assert judge(206, found | {"ETag": '"a"'}, asked).etag == '"a"'


def test_a_weak_tag_says_nothing_of_bytes() -> None:
    assert judge(200, {"ETag": 'W/"a"'}, WHOLE).etag is None


@pytest.mark.parametrize("status", [301, 302, 307, 308, 404, 500])
def test_redirects_and_errors_are_no_answer(status: int) -> None:
    failed = fault(status, {"Location": "http://10.0.0.1/", "Retry-After": "9"})
    assert (failed.fault, failed.retry_after_s) == (FaultKind.UNAVAILABLE, None)


@pytest.mark.parametrize(
    ("said", "after_s"),
    [("7", 7.0), ("Wed, 21 Oct 2026 07:28:00 GMT", 30.0), ("-1", 30.0), ("9" * 400, 30.0)],
)
def test_a_busy_source_says_for_how_long(said: str, after_s: float) -> None:
    assert fault(503, {"Retry-After": said}).retry_after_s == after_s
    assert fault(503, {}).retry_after_s is None


def test_sources_are_asked_when_they_are_due_and_streams_spread_over_the_nearest() -> None:
    near = [Source(f"p-{n}", SourceKind.PEER, "") for n in range(2)]
    origin = Source("origin", SourceKind.ORIGIN, "", 60.0)
    assert due([*near, origin], 59.0) == tuple(near)
    assert next_due_s([*near, origin], 59.0) == 1.0
    assert spread([*near, origin], (), {"p-0": 1}) == near[1]
    assert spread([*near, origin], {"p-0", "p-1"}, {}) == origin
    assert spread(near, {"p-0", "p-1"}, {}) is None


@given(st.data())
def test_whatever_the_pieces_of_a_body_exactly_what_was_asked_for_is_kept(
    data: st.DataObject,
) -> None:
    said = sorted(data.draw(st.lists(st.integers(0, 1000), min_size=4, max_size=4)))
    first, start, end, last = said
    body = bytes(n % 251 for n in range(1000))
    cut = Cut(Asked(start, end, 1000), Answer(start - first, last > end, False, None))
    kept, at = b"", first
    while at < last and not cut.is_over:
        assert cut.at == at
        size = data.draw(st.integers(1, 400))
        kept += cut.keep(body[at : min(last, at + size)])
        at = min(last, at + size)
    assert kept == body[start:end]


def test_a_body_that_goes_on_where_it_should_end_is_overlong() -> None:
    cut = Cut(Asked(0, 10, 10), Answer(0, False, False, None))
    assert cut.keep(bytes(10)) == bytes(10)
    assert not cut.is_over
    with pytest.raises(SourceFailed, match="more than the bytes up to 10"):
        cut.keep(b"x")
