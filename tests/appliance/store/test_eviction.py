"""Who leaves a flash tier."""

from hypothesis import given
from hypothesis import strategies as st

from sluice_appliance.store.eviction import LOOKED_AT, FlashQueue


def test_of_the_oldest_the_least_asked_for_goes() -> None:
    queue = _queue(100, {"a": 50, "b": 50})
    assert queue.weakest(10, {"a": 2.0, "b": 1.0}.__getitem__).keys == ("b",)


def test_what_was_looked_at_begins_anew_at_the_end() -> None:
    count = LOOKED_AT + 4
    queue = _queue(count, {f"k{n:02}": 1 for n in range(count)})
    queue.weakest(1, lambda key: 1.0)
    assert [key for key, _ in queue][:4] == [f"k{n:02}" for n in range(LOOKED_AT, count)]


def test_many_small_ones_make_room_for_a_large_one() -> None:
    queue = _queue(100, {f"k{n}": 10 for n in range(10)})
    weakest = queue.weakest(100, lambda key: 0.5)
    assert sorted(weakest.keys) == [f"k{n}" for n in range(10)]
    assert (weakest.lost, weakest.worth) == (50.0, 0.5)


def test_nobody_goes_while_there_is_room() -> None:
    assert _queue(100, {"a": 50}).weakest(50, lambda key: 1.0).keys == ()


@given(
    st.dictionaries(st.text(min_size=1, max_size=3), st.integers(1, 20), min_size=1, max_size=80),
    st.integers(min_value=1),
)
def test_what_would_go_is_held_named_once_and_enough(sizes: dict[str, int], needed: int) -> None:
    queue = _queue(sum(sizes.values()), sizes)
    needed = 1 + needed % queue.capacity_bytes
    weakest = queue.weakest(needed, lambda key: float(hash(key) % 7))
    assert len(set(weakest.keys)) == len(weakest.keys)
    assert set(weakest.keys) <= set(sizes)
    assert sum(sizes[key] for key in weakest.keys) >= needed
    assert dict(queue) == sizes


def _queue(capacity_bytes: int, sizes: dict[str, int]) -> FlashQueue:
    queue = FlashQueue(capacity_bytes)
    for key, size_bytes in sizes.items():
        queue.add(key, size_bytes)
    return queue
