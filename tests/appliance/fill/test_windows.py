"""When the box may fetch."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice_appliance.fill.windows import FillWindow, Opening, next_opening_at, opening_at

MADRID = ZoneInfo("Europe/Madrid")
HOUR_S = 3600


def at(text: str, zone: ZoneInfo | None = None) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=zone or UTC).timestamp()


def window(start: str, hours: float, *weekdays: int, zone: str = "UTC") -> FillWindow:
    hour, minute = start.split(":")
    begins = int(hour) * 60 + int(minute)
    return FillWindow(begins, int(hours * 60), frozenset(weekdays), ZoneInfo(zone))


def test_a_window_opens_at_its_minute_and_is_closed_at_its_end() -> None:
    night = [window("02:00", 4)]
    assert opening_at(night, at("2026-11-23T01:59:59")) is None
    opening = Opening(at("2026-11-23T02:00"), at("2026-11-23T06:00"))
    assert opening_at(night, at("2026-11-23T02:00")) == opening
    assert opening_at(night, at("2026-11-23T05:59:59")) == opening
    assert opening_at(night, at("2026-11-23T06:00")) is None
    assert next_opening_at(night, at("2026-11-23T02:00")) == at("2026-11-24T02:00")


def test_a_window_that_passes_midnight_is_one_opening() -> None:
    night = [window("22:00", 8)]
    opening = Opening(at("2026-11-22T22:00"), at("2026-11-23T06:00"))
    assert opening_at(night, at("2026-11-22T23:00")) == opening
    assert opening_at(night, at("2026-11-23T05:00")) == opening


def test_a_window_of_saturdays_goes_on_into_sunday_and_is_closed_on_other_days() -> None:
    saturdays = [window("22:00", 8, 6)]
    assert opening_at(saturdays, at("2026-11-29T05:00")) is not None
    assert opening_at(saturdays, at("2026-11-29T22:30")) is None
    assert next_opening_at(saturdays, at("2026-11-29T05:00")) == at("2026-12-05T22:00")


def test_a_window_is_meant_by_the_clocks_of_the_place_in_summer_and_in_winter() -> None:
    night = [window("02:30", 2, zone="Europe/Madrid")]
    assert opening_at(night, at("2026-07-01T00:30")) is not None
    assert opening_at(night, at("2026-01-01T00:30")) is None
    assert opening_at(night, at("2026-01-01T01:30")) is not None


def test_a_window_loses_the_hour_that_clocks_leap_over() -> None:
    opening = opening_at([window("01:00", 4, zone="Europe/Madrid")], at("2026-03-29T01:30"))
    assert opening == Opening(at("2026-03-29T00:00"), at("2026-03-29T03:00"))


def test_a_window_that_begins_in_the_hour_leapt_over_begins_when_clocks_leap() -> None:
    opening = opening_at([window("02:30", 2, zone="Europe/Madrid")], at("2026-03-29T01:00"))
    assert opening == Opening(at("2026-03-29T01:00"), at("2026-03-29T02:30"))


def test_a_window_that_lies_in_the_hour_leapt_over_is_left_out_that_night() -> None:
    sundays = [window("02:00", 1, 7, zone="Europe/Madrid")]
    assert opening_at(sundays, at("2026-03-29T01:00")) is None
    assert next_opening_at(sundays, at("2026-03-28T12:00")) == at("2026-04-05T00:00")


def test_a_window_gains_the_hour_that_comes_twice() -> None:
    opening = opening_at([window("01:00", 4, zone="Europe/Madrid")], at("2026-10-25T01:30"))
    assert opening == Opening(at("2026-10-24T23:00"), at("2026-10-25T04:00"))


def test_of_an_hour_that_comes_twice_the_first_is_meant() -> None:
    begins = opening_at([window("02:30", 2, zone="Europe/Madrid")], at("2026-10-25T01:45"))
    assert begins == Opening(at("2026-10-25T00:30"), at("2026-10-25T03:30"))
    ends = opening_at([window("00:30", 2, zone="Europe/Madrid")], at("2026-10-25T00:00"))
    assert ends == Opening(at("2026-10-24T22:30"), at("2026-10-25T00:30"))


def test_a_window_that_begins_in_a_day_leapt_over_begins_when_clocks_leap() -> None:
    # Samoa had no 30 December in 2011: midnight of the 31st followed on that of the 30th.
    leapt = opening_at([window("13:00", 20, zone="Pacific/Apia")], at("2011-12-30T10:30"))
    assert leapt == Opening(at("2011-12-30T10:00"), at("2011-12-30T19:00"))


def test_where_two_windows_overlap_the_second_begins_a_new_opening() -> None:
    both = [window("00:00", 6), window("03:00", 6)]
    assert opening_at(both, at("2026-11-23T01:00")) == Opening(
        at("2026-11-23T00:00"), at("2026-11-23T03:00")
    )
    assert opening_at(both, at("2026-11-23T03:00")) == Opening(
        at("2026-11-23T03:00"), at("2026-11-23T09:00")
    )


def test_windows_of_two_zones_are_each_meant_by_their_own_clocks() -> None:
    both = [window("02:00", 1, zone="Asia/Kolkata"), window("02:00", 1, zone="America/Lima")]
    assert opening_at(both, at("2026-11-22T20:45")) is not None
    assert opening_at(both, at("2026-11-23T07:45")) is not None
    assert opening_at(both, at("2026-11-23T02:30")) is None


def test_without_windows_each_day_is_an_opening() -> None:
    day = Opening(at("2026-11-23T00:00"), at("2026-11-24T00:00"))
    assert opening_at([], at("2026-11-23T17:00")) == day
    assert next_opening_at([], at("2026-11-23T17:00")) == day.closes_at


@pytest.mark.parametrize(
    ("start", "minutes", "weekday"),
    [(1440, 60, 1), (-1, 60, 1), (0, 0, 1), (0, 1441, 1), (0, 60, 8)],
)
def test_a_window_that_no_day_has_is_refused(start: int, minutes: int, weekday: int) -> None:
    with pytest.raises(ValueError, match="expected"):
        FillWindow(start, minutes, frozenset({weekday}))


ZONES = st.sampled_from(
    [
        "UTC",
        "Europe/Madrid",
        "America/St_Johns",
        "Australia/Lord_Howe",
        "Pacific/Apia",
        "Asia/Kolkata",
    ]
)
WINDOWS = st.builds(
    lambda start, minutes, days, zone: FillWindow(start, minutes, days, ZoneInfo(zone)),
    st.integers(0, 1439),
    st.integers(1, 1440),
    st.frozensets(st.integers(1, 7), max_size=3),
    ZONES,
)
# Around changes of the clocks of those zones, and any time; Apia left out a whole day in 2011.
TIMES = st.one_of(
    st.sampled_from(
        [
            at(day)
            for day in (
                "2026-03-29T00:00",
                "2026-10-25T00:00",
                "2026-04-04T14:00",
                "2011-12-30T10:00",
            )
        ]
    ).flatmap(lambda t: st.integers(int(t) - 40 * HOUR_S, int(t) + 40 * HOUR_S)),
    st.integers(1_000_000_000, 2_000_000_000),
)


@given(st.lists(WINDOWS, min_size=1, max_size=4), TIMES)
def test_the_next_opening_is_one_and_nothing_is_open_between(
    windows: list[FillWindow], now: int
) -> None:
    opening = opening_at(windows, now)
    next_at = next_opening_at(windows, now)
    assert next_at > now
    then = opening_at(windows, next_at)
    assert then is not None
    assert then.opens_at == next_at
    if opening is None:
        assert opening_at(windows, (now + next_at) / 2) is None
        assert opening_at(windows, next_at - 0.5) is None
    else:
        assert opening.opens_at <= now < opening.closes_at <= next_at
        assert opening_at(windows, opening.closes_at - 0.5) == opening
        assert opening_at(windows, opening.opens_at) == opening


@given(ZONES, st.integers(0, 1439), TIMES)
def test_a_window_of_a_whole_day_never_closes(zone: str, start: int, now: int) -> None:
    always = [FillWindow(start, 1440, zone=ZoneInfo(zone))]
    assert opening_at(always, now) is not None
