"""Addresses are tried before anything is started."""

import socket

import pytest

from sluice_cli.bringup.layout import Listener
from sluice_cli.bringup.ports import PortTaken, require_free


@pytest.mark.parametrize(
    ("kind", "number"), [("tcp", socket.SOCK_STREAM), ("udp", socket.SOCK_DGRAM)]
)
def test_a_taken_address_is_named_with_its_option(kind: str, number: int) -> None:
    with socket.socket(socket.AF_INET, number) as taken:
        taken.bind(("127.0.0.1", 0))
        if kind == "tcp":
            taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(PortTaken, match=rf"127.0.0.1:{port} \({kind}\) is in use.*--dns-port"):
            require_free([Listener("127.0.0.1", port, "--dns-port", kind)])


def test_an_address_that_is_not_this_machines_says_so() -> None:
    with pytest.raises(PortTaken, match="cannot be bound"):
        require_free([Listener("192.0.2.1", 9, "--data-port")])


def test_free_addresses_are_free_again_after_they_were_tried() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]

    for _ in range(2):
        require_free([Listener("127.0.0.1", port, "--gateway-port")])
