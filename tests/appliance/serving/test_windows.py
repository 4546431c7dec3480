"""What is read at once, what is known to be in memory, what is read ahead: arithmetic."""

from hypothesis import given
from hypothesis import strategies as st

from sluice_appliance.serving.windows import (
    AHEAD_BYTES,
    AHEAD_IDLE_MIN,
    GRAIN_BYTES,
    KNOWN_S,
    KNOWN_WINDOWS_MAX,
    WINDOW_BYTES,
    KnownPages,
    Piece,
    piece_at,
    plan_ahead,
    window_at,
)

MIB = 1024 * 1024


@st.composite
def readers(draw: st.DrawFn) -> tuple[int, int, int]:
    """(offset, end, size) of one who sends from offset to end of a body."""
    size = draw(st.integers(1, 5 * WINDOW_BYTES))
    offset = draw(st.integers(0, size - 1))
    return offset, draw(st.integers(offset + 1, size)), size


@given(readers())
def test_a_piece_has_the_next_byte_and_stays_within_one_window(
    reader: tuple[int, int, int],
) -> None:
    offset, end, size = reader
    piece = piece_at(offset, end, size)
    window = window_at(offset, size)
    assert piece.offset <= offset < piece.end
    assert window.offset <= piece.offset
    assert piece.end <= window.end <= size
    # Nothing is missing of what is wanted of this window, and little is read beside it.
    assert piece.end >= min(end, window.end)
    assert piece.length < min(end, window.end) - offset + 2 * GRAIN_BYTES


@given(readers())
def test_by_piece_after_piece_a_reader_comes_to_its_end(reader: tuple[int, int, int]) -> None:
    offset, end, size = reader
    known = KnownPages(size)
    reads = 0
    while offset < end:
        known.note(piece_at(offset, end, size), now=0.0)
        further = known.reach(offset, now=0.0)
        assert further > offset
        offset = min(end, further)
        reads += 1
    assert reads <= size // WINDOW_BYTES + 1


@given(readers(), st.integers(0, 5 * WINDOW_BYTES), st.integers(0, 8))
def test_what_is_read_ahead_follows_what_may_be_sent_and_is_wanted(
    reader: tuple[int, int, int], reach: int, idle: int
) -> None:
    offset, end, size = reader
    piece = plan_ahead(offset, reach, end, size, idle=idle)
    if piece is not None:
        assert offset < reach < end
        assert piece.offset <= reach < piece.end
        assert piece.end - offset <= AHEAD_BYTES + WINDOW_BYTES
        assert idle >= AHEAD_IDLE_MIN


def test_a_reader_of_a_long_body_finds_the_next_window_begun() -> None:
    ahead = plan_ahead(0, MIB, 10 * MIB, 10 * MIB, idle=8)
    assert ahead == Piece(MIB, MIB)


def test_nothing_is_read_ahead_while_others_wait_for_their_next_byte() -> None:
    assert plan_ahead(0, MIB, 10 * MIB, 10 * MIB, idle=AHEAD_IDLE_MIN - 1) is None


def test_a_slow_client_has_no_more_than_one_window_ahead_of_it() -> None:
    assert plan_ahead(0, 2 * MIB, 10 * MIB, 10 * MIB, idle=8) is None


def test_a_small_range_of_a_large_object_reads_little() -> None:
    assert piece_at(5 * MIB + 10, 5 * MIB + 20, 1000 * MIB) == Piece(5 * MIB, GRAIN_BYTES)


def test_an_object_of_one_window_is_known_by_one_comparison() -> None:
    known = KnownPages(300_000)
    assert not known.all_until > 7.0
    known.note(window_at(100, 300_000), now=7.0)
    assert known.all_until == 7.0 + KNOWN_S


def test_what_was_known_is_asked_again_a_second_later() -> None:
    known = KnownPages(3 * MIB)
    known.note(Piece(MIB, MIB), now=7.0)
    assert known.reach(MIB + 5, now=7.9) == 2 * MIB
    assert known.reach(MIB + 5, now=7.0 + KNOWN_S) == MIB + 5
    assert known.reach(2 * MIB, now=7.0) == 2 * MIB


def test_a_part_of_a_window_says_nothing_of_the_rest_of_it() -> None:
    known = KnownPages(3 * MIB)
    known.note(Piece(GRAIN_BYTES, GRAIN_BYTES), now=0.0)
    assert known.reach(GRAIN_BYTES, now=0.0) == 2 * GRAIN_BYTES
    assert known.reach(0, now=0.0) == 0
    assert known.reach(2 * GRAIN_BYTES, now=0.0) == 2 * GRAIN_BYTES


def test_the_memory_of_windows_is_bounded_however_large_the_object() -> None:
    size = (KNOWN_WINDOWS_MAX + 10) * WINDOW_BYTES
    known = KnownPages(size)
    for first in range(0, size, WINDOW_BYTES):
        known.note(Piece(first, WINDOW_BYTES), now=0.0)
    assert len(known._known) <= KNOWN_WINDOWS_MAX
    assert known.reach(size - 1, now=0.0) == size
