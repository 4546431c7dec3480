"""Requests that come round again: RFC 8586."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice_appliance.serving.loops import HOPS_MAX, members, refuse_loop, visits

# The example of RFC 8586, 2.
EXAMPLE = b'foo123.foocdn.example, barcdn.example; trace="abcdef"'


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        (EXAMPLE, (b"foo123.foocdn.example", b"barcdn.example")),
        (b'AnotherCDN; abc=123; def="456"', (b"anothercdn",)),
        (b'a;x="b, c\\", d", e:80', (b"a", b"e:80")),
        (b"[::1]:80,,\t a-1 ;y", (b"[::1]:80", b"a-1")),
        (b"", ()),
        (b'a; b="never closed, c', (b"a",)),
    ],
)
def test_the_members_of_a_loop_field_are_its_names(
    field: bytes, expected: tuple[bytes, ...]
) -> None:
    assert members(field) == expected


def test_visits_are_counted_whatever_the_case_of_the_name() -> None:
    assert visits(b"a-1, b-2, A-1;hop=3, a-11", b"a-1") == 2
    assert visits(EXAMPLE, b"abcdef") == 0


def test_a_request_that_was_here_before_is_508() -> None:
    refusal = refuse_loop(b"b-2, a-1", b"a-1")
    assert refusal is not None
    assert (refusal.status, refusal.close) == (508, False)
    assert refuse_loop(b"b-2", b"a-1") is None


def test_a_request_that_came_through_too_many_cdns_is_508() -> None:
    def named(count: int) -> bytes:
        return b", ".join(b"cdn%d" % n for n in range(count))

    assert refuse_loop(named(HOPS_MAX), b"a-1") is None
    refusal = refuse_loop(named(HOPS_MAX + 1), b"a-1")
    assert refusal is not None
    assert refusal.status == 508


def test_what_another_cdn_wrote_wrongly_does_not_refuse_its_viewers() -> None:
    for field in (b";;;", b'"', b"a b c", b"\xff", b'"a-1"', b'x="a-1'):
        assert refuse_loop(field, b"a-1") is None


@given(st.lists(st.sampled_from([b'"', b"\\", b",", b";", b"a", b" ", b"="])).map(b"".join))
def test_no_field_breaks_the_reading_of_its_members(field: bytes) -> None:
    assert all(members(field))


def test_a_hostile_field_takes_no_longer_than_its_length() -> None:
    began_s = time.process_time()
    for field in (b'"\\' * 8000, b'"' * 16_000, b'a"' * 8000, b"," * 16_000):
        members(field)
    # Looked through again from each quote, it would be seconds.
    assert time.process_time() - began_s < 0.5
