"""A view of two sites, and the two ways to an answer over it."""

import pytest

from sluice_dns.metrics import SPECS
from sluice_dns.responder import Responder
from sluice_dns.steering_map import MapView, load
from sluice_dns.testing.maps import MapOf
from sluice_dns.udp import address_of
from sluice_runtime.counters import SharedCounters


@pytest.fixture(scope="session")
def view() -> MapView:
    return load(MapOf(empty=((0, 7), (0, 8), (1, 8))).payload())


@pytest.fixture
def counters() -> SharedCounters:
    return SharedCounters(SPECS, rows=1)


@pytest.fixture
def responder(view: MapView, counters: SharedCounters) -> Responder:
    return Responder(view, server_id="pop-1", row=counters.row(0), address_of=address_of)
