import argparse
import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from sluice.steering.v1 import map_pb2
from sluice_control_plane.steering import lookup
from sluice_control_plane.steering.from_files import MAP_PURPOSE, add_compile_map
from sluice_runtime.signatures import Verifier

HERE = Path(__file__).parent
FLEET = HERE / "fleet.toml"
ROUTES = HERE / "routes.txt"


def compile_with(*arguments: str | Path) -> int:
    parser = argparse.ArgumentParser(prog="sluice-control-plane")
    add_compile_map(
        parser.add_subparsers(required=True), wall_clock=lambda: 1000.0, clock=lambda: 0.0
    )
    parsed = parser.parse_args(["compile-map", *map(str, arguments)])
    code: int = parsed.run(parsed)
    return code


def read_map(path: Path) -> tuple[map_pb2.SignedMap, map_pb2.SteeringMap]:
    signed = map_pb2.SignedMap.FromString(path.read_bytes())
    return signed, map_pb2.SteeringMap.FromString(signed.payload)


def test_the_sample_fleet_and_routes_become_a_map_that_sends_each_network_home(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "map.pb"
    assert compile_with("--fleet", FLEET, "--routes", ROUTES, "--out", out, "--json") == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["size_bytes"] == out.stat().st_size
    assert (facts["routes"], facts["classes"], facts["appliances"]) == (4, 3, 4)
    signed, compiled = read_map(out)
    assert (signed.key_id, signed.signature, compiled.revision) == ("", b"", 1_000_000)
    homes = {
        address: compiled.sites[lookup.place(compiled, family, key).sites[0]].site
        for address, family, key in (
            ("10.1.2.3", 4, 0x0A010203),
            ("10.2.2.3", 4, 0x0A020203),
            ("2001:db8:b::", 6, 0x20010DB8000B0000),
        )
    }
    assert homes == {
        "10.1.2.3": "sites/site-a",
        "10.2.2.3": "sites/site-b",
        "2001:db8:b::": "sites/site-b",
    }


def test_a_signed_map_is_believed_by_those_who_know_the_key(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    key = Ed25519PrivateKey.generate()
    pem = tmp_path / "signing.pem"
    pem.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    out = tmp_path / "map.pb"
    arguments = ("--fleet", FLEET, "--routes", ROUTES, "--out", out, "--signing-key", pem)
    assert compile_with(*arguments) == 0
    signed, _ = read_map(out)
    Verifier([key.public_key()]).verify(
        MAP_PURPOSE, signed.payload, signature=signed.signature, by=signed.key_id
    )
    assert f"signed by {signed.key_id}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("routes", "reason"),
    [
        ("10.1.0.0/16 site-a\n\n10.2.0.0/16\n", ":3: 1 words, expected a prefix and a site"),
        ("# none\n10.1.0.0/16 site-x\n", ":2: site is 'site-x', expected one of site-a, site-b"),
        ("10.1.2.3/16 site-a\n", ":1: 10.1.2.3/16 has bits set beyond its length"),
        ("10.1.2.0/25 site-a # too long\n", ":1: 10.1.2.0/25 is longer than /24"),
        ("\xff", ": byte 0 is not UTF-8"),
    ],
)
def test_a_wrong_route_is_named_by_file_and_line_and_the_old_map_stays(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], routes: str, reason: str
) -> None:
    path, out = tmp_path / "routes.txt", tmp_path / "map.pb"
    path.write_bytes(routes.encode("latin-1"))
    out.write_bytes(b"the old map")
    assert compile_with("--fleet", FLEET, "--routes", path, "--out", out) == 2
    assert f"{path}{reason}" in capsys.readouterr().err
    assert out.read_bytes() == b"the old map"


@pytest.mark.parametrize(
    ("wrong", "right", "reason"),
    [
        ('id = "a-2"', 'id = "a-1"', ":24: id 'a-1' is in [[appliances]] twice"),
        ('ipv4 = "127.0.20.1"', 'ipv4 = "127.0.20"', ":32: appliances.ipv4 is '127.0.20'"),
        ('ipv4 = "127.0.20.1"', "weight = 0", ":32: appliances.weight is 0, expected 1..1000000"),
        ('ipv4 = "127.0.20.1"', "port = 8081", "'b-1' and has neither ipv4 nor ipv6"),
        (
            'site = "site-b"\nipv4 = "127.0.20.2"',
            'site = "x"\nipv4 = "1.2.3.4"',
            ":34: site of b-2",
        ),
        ('zone = "v.sluice.test"', 'zone = "V.sluice.test."', ":2: zone is 'V.sluice.test.'"),
        ("steered_ttl_s = 20", "steered_ttl_s = -1", ":3: steered_ttl_s is -1, expected 0..86400"),
        ("steered_ttl_s = 20", "steered_ttl = 20", ":3: unknown key 'steered_ttl'; did you mean"),
        ('partner = "partner-b"', "partner = 4", ":17: 'sites.partner' is 4, expected"),
        ("static_ttl_s = 3600", "static_ttl_s = ", ":5: "),
    ],
)
def test_a_wrong_fleet_is_named_by_file_and_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], wrong: str, right: str, reason: str
) -> None:
    text = FLEET.read_text()
    assert wrong in text
    path = tmp_path / "fleet.toml"
    path.write_text(text.replace(wrong, right, 1))
    assert compile_with("--fleet", path, "--routes", ROUTES, "--out", tmp_path / "map.pb") == 2
    said = capsys.readouterr().err
    assert said.startswith(str(path))
    assert reason in said
    assert said.count("\n") == 1


def test_files_that_are_not_there_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    gone = tmp_path / "gone"
    good = {"--fleet": FLEET, "--routes": ROUTES, "--out": tmp_path / "map.pb"}
    for option in ("--fleet", "--routes", "--signing-key"):
        arguments = {**good, option: gone}
        assert compile_with(*(word for pair in arguments.items() for word in pair)) == 2
        assert capsys.readouterr().err == f"{gone}: No such file or directory\n"
