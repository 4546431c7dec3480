"""Which bytes a Range field asks for: RFC 9110, section 14, said to our decision."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice_appliance.serving.ranges import (
    BEYOND_ANY,
    PARTS_MAX,
    RANGES_MAX,
    NoRange,
    Span,
    _read_carefully,
    asked_at_least,
    read_ranges,
)

SIZE = 1000


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
        (b"bytes=1-2 ", (1, 2)),
        (b"bytes=0000000000000000000000000000000001-2", (1, 2)),
        (b"bytes=1000-", NoRange.UNSATISFIABLE),
        (b"bytes=1000-2000", NoRange.UNSATISFIABLE),
        (b"bytes=" + b"9" * 7000 + b"-", NoRange.UNSATISFIABLE),
        (b"bytes=-0", NoRange.UNSATISFIABLE),
        (b"bytes=5-4", NoRange.WHOLE),
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
def test_a_range_field_means_what_rfc_9110_says(field: bytes, expected: Span | NoRange) -> None:
    found = read_ranges(field, SIZE)
    assert found == (expected if isinstance(expected, NoRange) else (expected,))


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        (b"bytes=0-1,5-6", ((0, 2), (5, 2))),
        (b"bytes=5-6, 0-1", ((5, 2), (0, 2))),
        (b"bytes=0-1,-1", ((0, 2), (999, 1))),
        (b"bytes= 0-1 ,\t, 5-6,", ((0, 2), (5, 2))),
        (b"bytes=0-1,2000-,5-6", ((0, 2), (5, 2))),
        (b"bytes=0-1,2000-", ((0, 2),)),
        (b"bytes=2000-,-0", NoRange.UNSATISFIABLE),
        (b"bytes=0-1,6-5", NoRange.WHOLE),
        (b"bytes=0-1,x", NoRange.WHOLE),
        (b"bytes=0-1, bytes=5-6", NoRange.WHOLE),
        (b"bytes=,", NoRange.WHOLE),
    ],
)
def test_several_ranges_keep_the_order_they_were_asked_in(
    field: bytes, expected: tuple[Span, ...] | NoRange
) -> None:
    assert read_ranges(field, SIZE) == expected


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        (b"bytes=0-9,10-19", ((0, 20),)),
        (b"bytes=0-9,5-19", ((0, 20),)),
        (b"bytes=0-,0-,0-", ((0, 1000),)),
        (b"bytes=500-,-600,0-9", ((400, 600), (0, 10))),
        (b"bytes=20-29,0-9,10-19", ((0, 30),)),
        (b"bytes=50-59,0-9,55-79", ((50, 30), (0, 10))),
    ],
)
def test_ranges_that_overlap_or_touch_are_sent_once(
    field: bytes, expected: tuple[Span, ...]
) -> None:
    assert read_ranges(field, SIZE) == expected


def test_absurdly_many_ranges_are_not_sent() -> None:
    def asked(count: int, step: int) -> bytes:
        return b"bytes=" + b",".join(b"%d-%d" % (n, n) for n in range(0, count * step, step))

    assert len(read_ranges(asked(PARTS_MAX, 2), SIZE)) == PARTS_MAX  # type: ignore[arg-type]
    assert read_ranges(asked(PARTS_MAX + 1, 2), SIZE) is NoRange.TOO_MANY
    assert read_ranges(asked(RANGES_MAX, 1), SIZE) == ((0, RANGES_MAX),)
    assert read_ranges(asked(RANGES_MAX + 1, 1), SIZE) is NoRange.TOO_MANY


def test_no_range_of_an_empty_object_is_sent_as_a_part() -> None:
    assert read_ranges(b"bytes=0-", 0) is NoRange.UNSATISFIABLE
    assert read_ranges(b"bytes=-5", 0) is NoRange.WHOLE
    assert read_ranges(b"bytes=0-1,2-3", 0) is NoRange.UNSATISFIABLE


@given(
    st.binary(max_size=40)
    | st.lists(st.from_regex(rb"[0-9]{0,3}-[0-9]{0,3}", fullmatch=True), max_size=70).map(
        lambda specs: b"bytes=" + b",".join(specs)
    ),
    st.integers(0, 999),
)
def test_parts_lie_apart_within_the_object_whatever_is_asked(field: bytes, size: int) -> None:
    found = read_ranges(field, size)
    if isinstance(found, NoRange):
        return
    assert 1 <= len(found) <= PARTS_MAX
    ends = 0
    for offset, length in sorted(found):
        assert length > 0
        # Not even touching: the first part may begin at 0.
        assert offset > ends or ends == 0
        ends = offset + length
    assert ends <= size


@given(st.from_regex(rb"bytes=[0-9]{0,20}-[0-9]{0,20}", fullmatch=True), st.integers(0, 2**62))
def test_the_short_way_to_a_range_comes_to_what_the_careful_way_does(
    field: bytes, size: int
) -> None:
    assert read_ranges(field, size) == _read_carefully(field, size)


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(0, 20)), min_size=1, max_size=8))
def test_what_is_sent_is_exactly_what_was_asked_for(asked: list[tuple[int, int]]) -> None:
    size = 50
    field = b"bytes=" + b",".join(b"%d-%d" % (first, first + more) for first, more in asked)
    wanted = {n for first, more in asked for n in range(first, first + more + 1) if n < size}
    found = read_ranges(field, size)
    sent = (
        set()
        if found is NoRange.UNSATISFIABLE
        else {n for offset, length in found for n in range(offset, offset + length)}  # type: ignore[union-attr]
    )
    assert sent == wanted


@pytest.mark.parametrize(
    ("field", "span"),
    [
        (b"bytes=0-0", (0, 1)),
        (b"bytes=7-9", (7, 10)),
        (b"bytes=7-", (7, BEYOND_ANY + 1)),
        (b"bytes=9-7", None),
        (b"bytes=-7", None),
        (b"bytes=0-1,5-6", None),
        (b"lines=0-1", None),
        (b"bytes=1234567890123456789-", None),
    ],
)
def test_what_is_asked_for_is_known_before_the_size_where_it_does_not_depend_on_it(
    field: bytes, span: tuple[int, int] | None
) -> None:
    assert asked_at_least(field) == span


@given(st.integers(0, 10**12), st.integers(0, 10**12), st.integers(1, 10**12))
def test_what_is_asked_for_at_least_is_where_the_range_that_is_sent_begins(
    first: int, last: int, size_bytes: int
) -> None:
    field = b"bytes=%d-%d" % (first, last)
    sent = read_ranges(field, size_bytes)
    span = asked_at_least(field)
    if isinstance(sent, tuple):
        assert span is not None
        assert sent == ((span[0], min(span[1], size_bytes) - span[0]),)
