"""What is used of budgets is known after restarts, and whatever clocks do."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice_appliance.fill.accounts import (
    OPENINGS_MAX,
    Accounts,
    AccountsDamaged,
    from_bytes,
    to_bytes,
)
from sluice_appliance.fill.link_book import MONTHS_MAX
from sluice_appliance.fill.windows import opening_at

DAY_S = 86_400.0
NOON = 1_763_985_600.0


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(1, 1000)), max_size=50))
def test_however_the_clock_steps_each_opening_has_one_account(came: list[tuple[int, int]]) -> None:
    accounts = Accounts()
    for day, size_bytes in came:
        now = NOON + day * DAY_S
        accounts.took(size_bytes, now, opening_at((), now), waits=True)
    for day in range(10):
        expected = sum(size_bytes for its_day, size_bytes in came if its_day == day)
        assert accounts.ledger(opening_at((), NOON + day * DAY_S)).taken_bytes == expected


def test_what_was_kept_is_known_after_a_restart() -> None:
    accounts = Accounts()
    accounts.took(100, NOON, opening_at((), NOON), waits=True)
    accounts.wrote_flash(70, 50.0)
    accounts.returned(50.0, filled_bytes=100, offloaded_bytes=300)
    read, steady = from_bytes(to_bytes(accounts, wall=NOON, steady=50.0), wall=NOON + 5)
    assert read.ledger(opening_at((), NOON)).taken_bytes == 100
    assert read.month(NOON).fill[-1] == 100
    assert (read.flash_written(steady), read.roi.ratio, steady) == (70, 3.0, 55.0)


def test_a_clock_set_back_over_a_restart_lets_no_time_pass() -> None:
    content = to_bytes(Accounts(), wall=NOON, steady=50.0)
    assert from_bytes(content, wall=NOON - 40 * DAY_S)[1] == 50.0


def test_flash_written_is_forgotten_after_a_day() -> None:
    accounts = Accounts()
    accounts.wrote_flash(100, 0.0)
    assert accounts.flash_written(DAY_S - 1) == 100
    assert accounts.flash_written(DAY_S + 3600.0) == 0


def test_what_could_not_wait_is_no_ones_window() -> None:
    accounts = Accounts()
    accounts.took(100, NOON, opening_at((), NOON), waits=False)
    assert accounts.ledger(opening_at((), NOON)).taken_bytes == 0


def test_years_of_openings_and_months_keep_to_their_bounds() -> None:
    accounts = Accounts()
    for day in range(400):
        now = NOON + day * DAY_S
        accounts.took(1, now, opening_at((), now), waits=True)
    assert len(accounts.openings) == OPENINGS_MAX
    assert len(accounts.link.months) == MONTHS_MAX
    assert len(to_bytes(accounts, wall=0.0, steady=0.0)) < 1_000_000


@pytest.mark.parametrize(
    "content",
    [b"", b"{}", b"[1", b'{"wall":0,"steady":0,"openings":{"x":1},"flash":{},"months":[]}'],
)
def test_a_damaged_file_is_refused(content: bytes) -> None:
    with pytest.raises(AccountsDamaged):
        from_bytes(content, wall=0.0)


@given(st.binary(max_size=200), st.integers(0, 400))
def test_no_damage_is_anything_but_refused(junk: bytes, at: int) -> None:
    content = to_bytes(Accounts(), wall=NOON, steady=50.0)
    with suppress(AccountsDamaged):
        from_bytes(content[:at] + junk + content[at:], wall=NOON)
