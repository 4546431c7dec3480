"""Fill windows as people write them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice_cli.errors import BadArgument
from sluice_cli.fleet.windows import Window, parse_window, window_text


@pytest.mark.parametrize(
    ("text", "window"),
    [
        ("02:00-14:00", Window(120, 720)),
        ("22:00-06:00", Window(1320, 480)),
        ("00:00-24:00", Window(0, 1440)),
        ("12:30-12:30", Window(750, 1440)),
        ("Sat,Sun 22:00-06:00", Window(1320, 480, (6, 7))),
    ],
)
def test_a_window_is_read_as_it_is_said(text: str, window: Window) -> None:
    assert parse_window(text) == window


@given(
    st.integers(0, 1439),
    st.integers(1, 1440),
    st.lists(st.integers(1, 7), unique=True).map(tuple),
)
def test_every_window_is_read_back_as_it_was_written(
    start: int, duration: int, weekdays: tuple[int, ...]
) -> None:
    window = Window(start, duration, weekdays)
    assert parse_window(window_text(window)) == window


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "write 02:00-14:00"),
        ("2-14", "write 02:00-14:00"),
        ("02:00-25:00", "has 25:00"),
        ("02:60-03:00", "has 02:60"),
        ("24:00-02:00", "begins at 24:00"),
        ("someday 02:00-03:00", "the day 'someday'"),
        ("mon,mon 02:00-03:00", "the day 'mon'"),
    ],
)
def test_what_is_no_window_is_refused_with_what_to_write(text: str, words: str) -> None:
    with pytest.raises(BadArgument, match=words):
        parse_window(text)
