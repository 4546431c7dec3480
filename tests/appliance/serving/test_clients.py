"""How many connections one client may have, and how slow it may be."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice_appliance.serving.clients import ClientTable, network_of
from sluice_appliance.serving.limits import Limits, retiring
from sluice_appliance.serving.slowness import CROWDED, Pace, idle_s, is_crowded


def test_a_client_has_so_many_connections_and_another_has_its_own() -> None:
    table = ClientTable(3)
    assert [table.admit("192.0.2.1") for _ in range(5)] == [True, True, True, False, False]
    assert table.admit("192.0.2.2")
    table.gone("192.0.2.1")
    assert table.admit("192.0.2.1")
    assert not table.admit("192.0.2.1")


def test_all_addresses_of_a_home_are_one_client() -> None:
    table = ClientTable(2)
    assert table.admit("2001:db8:1:100::1")
    assert table.admit("2001:db8:1:1ff:ffff::2")
    assert not table.admit("2001:db8:1:17f::3")
    assert table.admit("2001:db8:1:200::1")
    assert len(table) == 2


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8::1", 0x20010DB8000000),
        ("fe80::1%eth0", 0xFE800000000000),
        ("", ""),
        ("no:address", "no:address"),
    ],
)
def test_the_network_of_an_address_is_what_one_customer_is_given(
    address: str, network: str | int
) -> None:
    assert network_of(address) == network


def test_without_a_limit_nobody_is_refused_and_nothing_is_remembered() -> None:
    table = ClientTable(0)
    assert all(table.admit("192.0.2.1") for _ in range(1000))
    assert len(table) == 0
    table.gone("192.0.2.1")


_ADDRESSES = st.sampled_from(
    ["192.0.2.1", "::ffff:192.0.2.1", "192.0.2.2", "2001:db8::1", "2001:db8::2", "2001:db8:1::1"]
)


@given(
    steps=st.lists(st.tuples(st.booleans(), _ADDRESSES), max_size=200),
    connections_max=st.integers(1, 5),
)
def test_no_network_ever_has_more_than_its_share_and_those_that_left_are_forgotten(
    steps: list[tuple[bool, str]], connections_max: int
) -> None:
    table, connected = ClientTable(connections_max), Counter[str | int]()
    for comes, address in steps:
        network = network_of(address)
        if comes:
            assert table.admit(address) is (connected[network] < connections_max)
            connected[network] = min(connections_max, connected[network] + 1)
        elif connected[network]:
            table.gone(address)
            connected[network] -= 1
        assert len(table) == sum(count > 0 for count in connected.values())


def test_a_client_that_takes_enough_in_every_window_never_trickles() -> None:
    limits = Limits(pace_bytes_per_s=1000, pace_s=10.0)
    pace = Pace(0, 0.0)
    for tick in range(1, 1000):
        assert not pace.trickles(1001 * tick, float(tick), limits)


def test_a_client_that_was_fast_at_first_and_trickles_now_is_seen_after_a_window() -> None:
    limits = Limits(pace_bytes_per_s=1000, pace_s=10.0)
    pace = Pace(0, 0.0)
    assert not pace.trickles(10**9, 10.0, limits)
    assert not pace.trickles(10**9 + 10, 19.0, limits)
    assert pace.trickles(10**9 + 10, 20.0, limits)
    # It is slow until it was fast for a whole window.
    assert pace.trickles(2 * 10**9, 25.0, limits)
    assert not pace.trickles(2 * 10**9, 30.0, limits)


def test_idle_connections_are_kept_for_less_where_they_run_out_and_least_where_they_drain() -> None:
    limits = Limits(connections=100)
    assert not is_crowded(int(CROWDED * 100), limits)
    assert is_crowded(int(CROWDED * 100) + 1, limits)
    roomy = idle_s(limits, crowded=False, draining=False)
    crowded = idle_s(limits, crowded=True, draining=False)
    assert roomy > crowded > idle_s(limits, crowded=True, draining=True)
    patient = idle_s(retiring(limits), crowded=False, draining=True)
    assert limits.drain_idle_s < patient < roomy


def test_a_tighter_limit_between_requests_counts_where_connections_run_out_too() -> None:
    assert idle_s(Limits(request_s=2.0), crowded=True, draining=False) == 2.0
