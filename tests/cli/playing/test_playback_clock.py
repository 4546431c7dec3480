"""A viewer's clock: start, stalls, room in the buffer."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice_cli.playing.playback_clock import PlaybackClock

steps = st.lists(
    # How long each segment took to come, and how long it plays.
    st.tuples(st.floats(0.0, 30.0), st.floats(0.1, 10.0)),
    min_size=1,
    max_size=30,
)


def test_the_picture_starts_with_the_first_segment() -> None:
    clock = PlaybackClock(opened_at=100.0, buffer_limit_s=30.0)
    clock.media_arrived(4.0, 100.7)
    assert clock.startup_s == pytest.approx(0.7)
    assert clock.buffer_s(101.7) == pytest.approx(3.0)


def test_a_segment_that_comes_too_late_is_a_stall_of_that_length() -> None:
    clock = PlaybackClock(opened_at=0.0, buffer_limit_s=30.0)
    clock.media_arrived(4.0, 1.0)
    clock.media_arrived(8.0, 6.5)
    assert clock.rebuffers == 1
    assert clock.rebuffer_s == pytest.approx(1.5)
    # The film goes on from where it stopped.
    assert clock.buffer_s(6.5) == pytest.approx(4.0)


def test_running_dry_after_the_last_segment_is_the_end_and_not_a_stall() -> None:
    clock = PlaybackClock(opened_at=0.0, buffer_limit_s=30.0)
    clock.media_arrived(4.0, 1.0)
    clock.last_media_arrived(2.0)
    assert clock.buffer_s(100.0) == 0.0
    assert clock.rebuffers == 0


def test_a_play_that_gives_up_while_stalled_has_stalled_until_then() -> None:
    clock = PlaybackClock(opened_at=0.0, buffer_limit_s=30.0)
    clock.media_arrived(4.0, 1.0)
    clock.last_media_arrived(9.0)
    assert clock.rebuffers == 1
    assert clock.rebuffer_s == pytest.approx(4.0)


def test_a_full_buffer_has_room_when_enough_was_shown() -> None:
    clock = PlaybackClock(opened_at=0.0, buffer_limit_s=6.0)
    assert clock.room_in_s(4.0, 0.0) == 0.0
    clock.media_arrived(4.0, 0.0)
    assert clock.room_in_s(4.0, 0.0) == pytest.approx(2.0)
    assert clock.room_in_s(4.0, 2.0) == 0.0


def test_a_segment_longer_than_the_buffer_has_room_when_it_is_empty() -> None:
    clock = PlaybackClock(opened_at=0.0, buffer_limit_s=1.0)
    clock.media_arrived(4.0, 0.0)
    assert clock.room_in_s(4.0, 0.0) == pytest.approx(4.0)


@given(steps)
def test_wall_time_after_the_start_is_film_that_was_shown_plus_stalls(
    arrivals: list[tuple[float, float]],
) -> None:
    clock = PlaybackClock(opened_at=0.0, buffer_limit_s=1e9)
    now = until_s = 0.0
    for waited_s, duration_s in arrivals:
        now += waited_s
        until_s += duration_s
        clock.media_arrived(until_s, now)

        shown_s = until_s - clock.buffer_s(now)
        assert 0 <= shown_s <= until_s
        assert now - clock.startup_s == pytest.approx(shown_s + clock.rebuffer_s, abs=1e-3)


@given(steps)
def test_a_player_that_waits_for_room_never_holds_more_than_its_buffer(
    arrivals: list[tuple[float, float]],
) -> None:
    limit_s = 10.0
    clock = PlaybackClock(opened_at=0.0, buffer_limit_s=limit_s)
    now = until_s = 0.0
    for waited_s, duration_s in arrivals:
        now += clock.room_in_s(duration_s, now) + waited_s
        until_s += duration_s
        clock.media_arrived(until_s, now)
        assert clock.buffer_s(now) <= limit_s + 1e-6


@given(steps)
def test_segments_that_come_before_they_are_due_never_stall(
    arrivals: list[tuple[float, float]],
) -> None:
    clock = PlaybackClock(opened_at=0.0, buffer_limit_s=30.0)
    now = until_s = 0.0
    for _, duration_s in arrivals:
        until_s += duration_s
        clock.media_arrived(until_s, now)
        now += clock.buffer_s(now) / 2
    assert clock.rebuffers == 0
