"""Which requests are recorded, and that weights never lie about how many there were."""

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice_appliance.serving.sampling import Sampler


def window(sampler: Sampler, requests: int) -> list[tuple[int, int]]:
    """(number of the request, weight) of each record of a window with so many requests."""
    records = []
    for number in range(requests):
        sampler.countdown -= 1
        if not sampler.countdown:
            records.append((number, sampler.take()))
    sampler.renew()
    return records


def test_all_are_recorded_while_they_are_few() -> None:
    sampler = Sampler(100)
    for _ in range(5):
        assert window(sampler, 100) == [(number, 1) for number in range(100)]


def test_a_steady_crowd_is_recorded_at_the_allowance() -> None:
    sampler = Sampler(100)
    window(sampler, 20_000)
    for _ in range(10):
        assert 90 <= len(window(sampler, 20_000)) <= 110


def test_a_sudden_crowd_costs_some_records_more_and_not_a_record_each() -> None:
    sampler = Sampler(100)
    window(sampler, 5)
    assert 100 <= len(window(sampler, 1_000_000)) <= 130


def test_all_are_recorded_again_when_a_crowd_has_gone() -> None:
    sampler = Sampler(100)
    window(sampler, 1_000_000)
    window(sampler, 50)
    first, *others = window(sampler, 50)
    assert first[1] >= 1
    assert len(others) == 49
    assert {weight for _, weight in others} == {1}


@pytest.mark.parametrize("kinds", [2, 3, 5])
def test_requests_that_take_turns_are_recorded_in_their_shares(kinds: int) -> None:
    sampler = Sampler(100)
    window(sampler, 30_000)
    weights = [0] * kinds
    for _ in range(20):
        for number, weight in window(sampler, 30_000):
            weights[number % kinds] += weight
    for weight in weights:
        assert weight / sum(weights) == pytest.approx(1 / kinds, rel=0.15)


@given(st.integers(1, 50), st.lists(st.integers(0, 3_000), max_size=8))
def test_weights_sum_to_the_requests(per_window: int, windows: Iterable[int]) -> None:
    sampler = Sampler(per_window)
    requests = weights = 0
    for count in windows:
        weights += sum(weight for _, weight in window(sampler, count))
        requests += count
        waiting = sampler._stretch - sampler.countdown
        assert weights + waiting == requests
        assert sampler.countdown >= 1
