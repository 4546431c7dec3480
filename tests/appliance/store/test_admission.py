"""The price that what is written has to gain."""

from hypothesis import given
from hypothesis import strategies as st

from sluice_appliance.store.admission import PRICE_MAX, PRICE_MIN, WritePrice


def test_writing_what_the_budget_fills_leaves_the_price_where_it_is() -> None:
    price = WritePrice(10.0, 1_000.0, 0.0)
    before = price.price
    for second in range(1, 1_001):
        price.wanted(10)
        price.at(float(second))
    assert abs(price.price / before - 1) < 0.02


def test_the_price_rises_while_more_is_wanted_and_falls_while_less_is() -> None:
    price = WritePrice(10.0, 1_000.0, 0.0)
    price.resume(4.0, 0.0)
    price.wanted(500)
    assert price.price > 4.0
    assert price.at(100.0) < 4.0


@given(st.lists(st.tuples(st.floats(0, 1e9), st.integers(0, 10**12)), max_size=30))
def test_the_price_stays_within_its_bounds(steps: list[tuple[float, int]]) -> None:
    price, now = WritePrice(10.0, 1_000.0, 0.0), 0.0
    for wait_s, size_bytes in steps:
        now += wait_s
        price.wanted(size_bytes)
        assert PRICE_MIN <= price.at(now) <= PRICE_MAX
