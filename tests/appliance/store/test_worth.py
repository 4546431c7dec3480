"""How much a block is judged to be worth."""

import pytest

from sluice_appliance.store.worth import RUNG_RUNS_MIN, STRETCH_BLOCKS, Place, Worth, place_of

HALF_LIFE_S = 100.0


@pytest.mark.parametrize(
    ("key", "place"),
    [
        ("film/v1/720p/17.m4s", Place("film/v1/720p/", 17)),
        ("film/v1/720p/seg-00017.m4s", Place("film/v1/720p/seg-", 17)),
        ("film/v1/h264-720p.mp4#17", Place("film/v1/h264-720p.mp4#", 17)),
        ("film/v1/h264-720p.mp4", None),
        ("film/v1/init.mp4", None),
        ("film/12345678901234567890.mp4", None),
        ("", None),
    ],
)
def test_a_name_tells_its_run_and_its_place_in_it(key: str, place: Place | None) -> None:
    assert place_of(key) == place


def test_a_block_seen_once_is_worth_more_where_its_neighbours_are_watched() -> None:
    worth = _worth()
    for n in range(STRETCH_BLOCKS - 1):
        worth.asked(f"watched/{n}.m4s", 0.0)
    worth.asked(f"watched/{STRETCH_BLOCKS - 1}.m4s", 0.0)
    worth.asked("lonely/3.m4s", 0.0)
    assert worth.of("watched/31.m4s", 0.0) > 3 * worth.of("lonely/3.m4s", 0.0)


def test_renditions_and_stretches_are_judged_apart() -> None:
    worth = _worth()
    for n in range(STRETCH_BLOCKS):
        worth.asked(f"film/hd/{n}.m4s", 0.0)
    worth.asked("film/sd/3.m4s", 0.0)
    worth.asked(f"film/hd/{STRETCH_BLOCKS}.m4s", 0.0)
    sd, further = worth.of("film/sd/3.m4s", 0.0), worth.of(f"film/hd/{STRETCH_BLOCKS}.m4s", 0.0)
    assert sd == further < 0.7 * worth.of("film/hd/3.m4s", 0.0)


def test_a_title_that_is_watched_in_one_rendition_is_worth_more_in_another() -> None:
    worth = Worth(0.0, keys_max=1_000)
    for n in range(500):
        worth.asked(f"film/hd/{n}.m4s", 0.0)
    for title in ("film", "other"):
        worth.asked(f"{title}/sd/3.m4s", 0.0)
    assert worth.of("film/sd/3.m4s", 0.0) > 1.5 * worth.of("other/sd/3.m4s", 0.0)


def test_a_rendition_that_other_titles_are_watched_in_is_worth_more_of_a_new_one() -> None:
    worth = Worth(0.0, keys_max=1_000)
    for n in range(RUNG_RUNS_MIN):
        for _ in range(9):
            worth.asked(f"title-{n}/hd/1.m4s", 0.0)
        worth.asked(f"title-{n}/sd/1.m4s", 0.0)
    for rung in ("hd", "sd"):
        worth.asked(f"new/{rung}/1.m4s", 0.0)
    assert worth.of("new/hd/1.m4s", 0.0) > 1.01 * worth.of("new/sd/1.m4s", 0.0)


def test_a_rendition_that_one_title_alone_has_tells_no_more_than_its_title() -> None:
    worth = _worth()
    for n in range(20):
        worth.asked(f"title-{n}/hd/1.m4s", 0.0)
    for _ in range(5):
        worth.asked("film/own-name/1.m4s", 0.0)
    worth.asked("other/another-name/1.m4s", 0.0)
    film, other = worth.of("film/own-name/1.m4s", 0.0), worth.of("other/another-name/1.m4s", 0.0)
    assert film == pytest.approx(5 * other)


@pytest.mark.parametrize("half_lives", [5, 600])
def test_of_as_many_requests_those_for_a_title_that_came_lately_tell_more(half_lives: int) -> None:
    worth = _worth()
    worth.asked("old/1.m4s", 0.0)
    later = half_lives * HALF_LIFE_S
    for title in ("old", "new"):
        worth.asked(f"{title}/1.m4s", later)
    assert worth.of("new/1.m4s", later) > 1.5 * worth.of("old/1.m4s", later)


def test_a_viewer_on_the_way_is_worth_a_request_to_the_blocks_ahead_and_none_behind() -> None:
    worth = _worth()
    for n in (40, 60):
        worth.asked(f"film/{n}.m4s", 0.0)
    worth.asked("film/50.m4s", 1_000.0)
    ahead, behind = worth.of("film/60.m4s", 1_000.0), worth.of("film/40.m4s", 1_000.0)
    assert behind + 0.5 < ahead < behind + 1
    assert worth.is_awaited("film/60.m4s", 1_000.0)
    assert not worth.is_awaited("film/40.m4s", 1_000.0)


def test_requests_count_half_after_a_half_life() -> None:
    worth = _worth()
    worth.asked("a", 0.0)
    assert worth.of("a", HALF_LIFE_S) == pytest.approx(0.5)


def test_years_of_requests_are_told_as_if_they_began_today() -> None:
    old, young = _worth(), Worth(HALF_LIFE_S * 1_900, keys_max=10, half_life_s=HALF_LIFE_S)
    for n in range(19):
        old.asked("film/1.m4s", HALF_LIFE_S * n * 100)
    for worth in (old, young):
        worth.asked("film/1.m4s", HALF_LIFE_S * 1_900)
        worth.asked("film/1.m4s", HALF_LIFE_S * 2_000)
    now = HALF_LIFE_S * 2_001
    assert old.of("film/1.m4s", now) == pytest.approx(young.of("film/1.m4s", now))


def test_no_more_is_remembered_than_may_be_and_the_longest_not_asked_for_goes() -> None:
    worth = Worth(0.0, keys_max=2)
    for key in ("a/1", "b/1", "a/1", "c/1"):
        worth.asked(key, 0.0)
    assert (len(worth), worth.forgotten, worth.neighbourhoods) == (2, 1, 7)
    assert worth.of("b/1", 0.0) == 0 < worth.of("a/1", 0.0)


def test_a_restart_goes_on_from_the_counts() -> None:
    before, after = _worth(), Worth(500.0, keys_max=100, half_life_s=HALF_LIFE_S)
    for n in range(40):
        before.asked(f"film/{n % 20}.m4s", n * 3.0)
    after.resume(before.counts(200.0), 500.0)
    for n in range(20):
        key = f"film/{n}.m4s"
        assert after.of(key, 500.0) == pytest.approx(before.of(key, 200.0))


def test_a_clock_that_steps_back_and_an_age_without_requests_upset_nothing() -> None:
    worth = _worth()
    for n in range(RUNG_RUNS_MIN):
        worth.asked(f"title-{n}/hd/1.m4s", 10 * HALF_LIFE_S)
    assert worth.of("title-1/hd/1.m4s", 0.0) > 0
    worth.asked("alone", 10_000 * HALF_LIFE_S)
    assert worth.of("title-1/hd/1.m4s", 10_000 * HALF_LIFE_S) < 1e-9


def _worth() -> Worth:
    return Worth(0.0, keys_max=100, half_life_s=HALF_LIFE_S)
