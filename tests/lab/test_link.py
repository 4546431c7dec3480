"""The wire of the lab: what its figures mean must be so, or the lab proves nothing."""

import random

from hypothesis import given
from hypothesis import strategies as st
from lab.link import Lane

PACKET_BYTES = 1500


def lane(*, bytes_per_s: float = 1e6, loss: float = 0.0, queue_bytes: int = 15_000) -> Lane:
    return Lane(bytes_per_s, 0.05, loss, queue_bytes, random.Random(1))


def test_a_packet_on_an_idle_wire_takes_its_own_length_and_the_delay() -> None:
    assert lane().carry(PACKET_BYTES, 10.0) == 10.0 + 0.0015 + 0.05


def test_what_the_queue_does_not_hold_is_lost_and_counted() -> None:
    wire = lane()
    arrivals = [wire.carry(PACKET_BYTES, 0.0) for _ in range(12)]
    assert [arrival is None for arrival in arrivals] == [False] * 10 + [True] * 2
    assert (wire.carried, wire.overflowed) == (10, 2)


def test_the_share_that_is_lost_is_the_share_that_was_asked_for() -> None:
    wire = lane(loss=0.1)
    for number in range(10_000):
        wire.carry(PACKET_BYTES, number * 0.01)
    assert 900 < wire.lost < 1100
    assert wire.carried + wire.lost == 10_000


@given(st.lists(st.tuples(st.integers(40, 1500), st.floats(0, 0.01)), min_size=1))
def test_packets_leave_in_order_and_never_faster_than_the_rate(
    packets: list[tuple[int, float]],
) -> None:
    wire, now, last, carried_bytes = lane(queue_bytes=10**9), 0.0, 0.0, 0
    for size_bytes, pause_s in packets:
        now += pause_s
        arrives = wire.carry(size_bytes, now)
        assert arrives is not None
        carried_bytes += size_bytes
        assert arrives > last
        assert arrives >= carried_bytes / 1e6
        last = arrives
