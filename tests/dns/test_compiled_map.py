"""The map that the control plane compiles is the map that the server reads."""

import ipaddress
import subprocess
import sys
from pathlib import Path

import dns.edns
import dns.message
import pytest

from sluice_dns.testing.server import Server, serving

FLEET = """
zone = "v.example.net"
[[sites]]
id = "site-a"
[[sites]]
id = "site-b"
[[appliances]]
id = "a-1"
site = "site-a"
ipv4 = "127.0.10.1"
[[appliances]]
id = "a-2"
site = "site-a"
ipv4 = "127.0.10.2"
[[appliances]]
id = "b-1"
site = "site-b"
ipv4 = "127.0.20.1"
ipv6 = "2001:db8:b::1"
"""
ROUTES = "10.1.0.0/16 site-a\n10.2.0.0/16 site-b\n2001:db8:b::/48 site-b\n"


@pytest.fixture
def map_path(tmp_path: Path) -> Path:
    (tmp_path / "fleet.toml").write_text(FLEET)
    (tmp_path / "routes.txt").write_text(ROUTES)
    program = Path(sys.executable).with_name("sluice-control-plane")
    subprocess.run(
        [program, "compile-map", "--fleet", "fleet.toml", "--routes", "routes.txt", "--out", "map"],
        cwd=tmp_path,
        check=True,
        capture_output=True,
        timeout=60,
    )
    return tmp_path / "map"


def _ask(server: Server, name: str, kind: str, subnet: str) -> tuple[set[str], int]:
    network = ipaddress.ip_network(subnet)
    option = dns.edns.ECSOption(str(network.network_address), network.prefixlen)
    query = dns.message.make_query(f"{name}.v.example.net", kind, options=[option])
    reply = dns.message.from_wire(server.ask(query.to_wire()))
    (echoed,) = (each for each in reply.options if isinstance(each, dns.edns.ECSOption))
    return {record.to_text() for rrset in reply.answer for record in rrset}, echoed.scopelen


def test_each_client_is_sent_to_the_site_that_announced_it(map_path: Path) -> None:
    site_a, site_b = {"127.0.10.1", "127.0.10.2"}, {"127.0.20.1"}
    with serving(map_path) as server:
        for bucket in ("b0000", "b0511", "b1023"):
            assert _ask(server, bucket, "A", "10.1.2.0/24") == (site_a, 16)
            assert _ask(server, bucket, "A", "10.2.2.0/24") == (site_b, 16)
            assert _ask(server, bucket, "AAAA", "2001:db8:b:700::/56") == ({"2001:db8:b::1"}, 48)
            assert _ask(server, f"{bucket}.site-a", "A", "10.2.2.0/24") == (site_a, 0)
