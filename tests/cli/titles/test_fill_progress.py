"""Names and shares: the small decisions of `sluice title add`."""

from hypothesis import given
from hypothesis import strategies as st

from sluice_cli.titles.fill_progress import FillProgress, Held
from sluice_cli.titles.naming import is_title_id, title_id_of

reports = st.lists(st.builds(Held, st.integers(0, 10**12), st.integers(0, 10**12)), max_size=4)


def test_a_gap_that_is_half_closed_is_half_the_way() -> None:
    fill = FillProgress()
    # Before the title is placed, nobody misses anything.
    assert fill.observe([Held(500, 500)]) == 0.0
    assert fill.observe([Held(700, 500), Held(200, 0)]) == 0.0
    assert fill.observe([Held(700, 600), Held(200, 100)]) == 0.5
    assert fill.observe([Held(700, 700), Held(200, 200)]) == 1.0


@given(st.lists(reports, max_size=20))
def test_progress_never_goes_back_and_stays_a_share(history: list[list[Held]]) -> None:
    fill = FillProgress()
    shares = [fill.observe(report) for report in history]
    assert shares == sorted(shares)
    assert all(0.0 <= share <= 1.0 for share in shares)


def test_a_name_becomes_the_id_that_people_would_have_typed() -> None:
    assert title_id_of("Big Buck Bunny") == "big-buck-bunny"
    assert title_id_of("  S01E02: The One! ") == "s01e02-the-one"
    assert title_id_of("…") == ""


@given(st.text())
def test_an_id_made_of_a_name_is_an_id_or_empty(name: str) -> None:
    made = title_id_of(name)
    assert made == "" or is_title_id(made)
