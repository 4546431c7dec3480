"""Lines that say how an answer came about, as RFC 9211 and RFC 8941 write them."""

import pytest

from sluice_appliance.serving.cache_status import (
    Outcome,
    cache_status_field,
    server_timing_field,
)


@pytest.mark.parametrize(
    ("outcome", "value"),
    [
        (Outcome.MEMORY, b"a-1; hit"),
        (Outcome.DISK, b"a-1; hit; detail=disk"),
        (Outcome.FILL, b"a-1; fwd=miss; detail=fill"),
        (Outcome.UNREACHABLE, b"a-1; fwd=miss; detail=unreachable"),
        (Outcome.ABSENT, b"a-1; detail=absent"),
        (Outcome.SHED, b"a-1; detail=shed"),
    ],
)
def test_a_cache_says_who_it_is_and_whether_it_had_the_bytes(
    outcome: Outcome, value: bytes
) -> None:
    assert cache_status_field("a-1", outcome) == b"Cache-Status: " + value + b"\r\n"


@pytest.mark.parametrize(
    ("name", "item"),
    [
        ("box.example:8081", b"box.example:8081"),
        ("*", b"*"),
        ("1-a", b'"1-a"'),
        ("my box", b'"my box"'),
        ('a"b\\c', b'"a\\"b\\\\c"'),
    ],
)
def test_a_name_that_is_no_token_is_a_string(name: str, item: bytes) -> None:
    assert cache_status_field(name, Outcome.MEMORY) == b"Cache-Status: " + item + b"; hit\r\n"


@pytest.mark.parametrize("name", ["", "über", "a\r\nSet-Cookie: b"])
def test_a_name_that_no_field_can_carry_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="expected printable ASCII"):
        cache_status_field(name, Outcome.MEMORY)


def test_every_outcome_has_its_own_line() -> None:
    assert len({cache_status_field("a-1", outcome) for outcome in Outcome}) == len(Outcome)


def test_a_timing_is_in_milliseconds_with_a_tenth() -> None:
    assert server_timing_field(b"disk", 12.345) == b"Server-Timing: disk;dur=12.3\r\n"
