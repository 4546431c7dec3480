"""Malformed bytes at every port of the running system: a clear answer, and nobody dies of it."""

import contextlib
import random
import socket
import struct
import subprocess
from pathlib import Path

import dns.flags
import dns.message
import dns.opcode
import dns.query
import dns.rcode
import grpc
import pytest
from scenarios.conftest import TITLE
from scenarios.stack import SCRIPTS, ZONE, Stack

from sluice.fleet.v1 import fleet_pb2, fleet_pb2_grpc
from sluice_runtime import rpc


@pytest.fixture(scope="module", autouse=True)
def nobody_dies(stack: Stack) -> object:
    """Around all of this file: the same processes live, and no log shows a traceback."""
    before = [stack.pid_of(name) for name in _PROCESSES]
    yield
    assert [stack.pid_of(name) for name in _PROCESSES] == before
    for name, text in stack.logs().items():
        assert "Traceback" not in text, f"{name}: {text[text.index('Traceback') :][:2000]}"
    assert stack.facts("play", TITLE, "--client", "10.1.2.3", "--seconds", "4")["digest_ok"]


_PROCESSES = ("origin", "control-plane", "dns", "gateway", "a-1", "a-2", "b-1", "b-2")


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"\x00\x01\x02\r\n\r\n", 400),
        (b"GET /x HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
        (b"GET /../../etc/passwd HTTP/1.1\r\nHost: a\r\n\r\n", 403),
        (b"GET /x HTTP/1.1\r\nHost: a\r\nA: " + b"y" * 70_000 + b"\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", 405),
        (b"GET /no/such/object HTTP/1.1\r\nHost: a\r\n\r\n", 403),
    ],
)
def test_an_appliance_answers_malformed_http_with_its_status(
    stack: Stack, request_bytes: bytes, status: int
) -> None:
    assert _http(("127.0.10.1", stack.ports["data"]), request_bytes) == status


def test_a_real_object_is_403_for_who_brings_no_token_whatever_range_is_asked(stack: Stack) -> None:
    key = next(
        path.relative_to(stack.state / "origin")
        for path in sorted((stack.state / "origin").rglob("*.mp4"))
    )
    request = f"GET /{key} HTTP/1.1\r\nHost: a\r\nRange: bytes=99999999999-\r\n\r\n"

    assert _http(("127.0.10.1", stack.ports["data"]), request.encode()) == 403


def test_random_bytes_at_every_tcp_port_are_answered_or_closed(stack: Stack) -> None:
    rng = random.Random(20261123)
    places = [("127.0.0.1", stack.ports[name]) for name in stack.ports if name != "data"]
    places = [place for place in places if place[1] != stack.ports["appliance-admin"]]
    places += [("127.0.20.1", stack.ports["data"]), ("127.0.20.1", stack.ports["appliance-admin"])]
    for host, port in places:
        for size in (1, 17, 300, 5000):
            with socket.create_connection((host, port), timeout=5) as peer:
                peer.settimeout(5)
                # A server that closes at once may reset us in any of these calls; a hang is a TimeoutError.
                with contextlib.suppress(ConnectionError):
                    peer.sendall(rng.randbytes(size))
                    with contextlib.suppress(OSError):
                        peer.shutdown(socket.SHUT_WR)
                    while peer.recv(65536):
                        pass


def test_the_dns_server_answers_wrong_messages_with_the_right_code(stack: Stack) -> None:
    query = dns.message.make_query(f"b0001.{ZONE}", "A").to_wire()

    assert _dns(stack, query[:4] + b"\x00\x02" + query[6:]) == dns.rcode.FORMERR
    assert _dns(stack, query[:2] + struct.pack("!H", 5 << 11) + query[4:]) == dns.rcode.NOTIMP
    outside = dns.message.make_query("www.example.org", "A").to_wire()
    assert _dns(stack, outside) == dns.rcode.REFUSED
    nobody = dns.message.make_query(f"b9999.{ZONE}", "A").to_wire()
    assert _dns(stack, nobody) == dns.rcode.NXDOMAIN


def test_the_control_plane_says_what_is_wrong_with_a_message(stack: Stack) -> None:
    channel = _channel(stack, "operator")
    with channel:
        fleet = fleet_pb2_grpc.FleetServiceStub(channel)
        with pytest.raises(grpc.RpcError) as refused:
            fleet.GetAppliance(fleet_pb2.GetApplianceRequest(name="boxes/../a"), timeout=5)
        garbage = channel.unary_unary(
            "/sluice.fleet.v1.FleetService/GetAppliance",
            request_serializer=lambda body: body,
            response_deserializer=lambda body: body,
        )
        with pytest.raises(grpc.RpcError) as broken:
            garbage(b"\xff\xff\xff\xff", timeout=5)

    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "boxes/../a" in str(refused.value.details())
    assert broken.value.code() is grpc.StatusCode.INVALID_ARGUMENT


def test_a_caller_may_do_only_what_its_certificate_says(stack: Stack) -> None:
    with _channel(stack, "publisher") as channel:
        fleet = fleet_pb2_grpc.FleetServiceStub(channel)
        with pytest.raises(grpc.RpcError) as refused:
            fleet.DrainAppliance(fleet_pb2.DrainApplianceRequest(name="appliances/a-1"), timeout=5)

    assert refused.value.code() is grpc.StatusCode.PERMISSION_DENIED


@pytest.mark.parametrize(
    "program",
    ["sluice-appliance", "sluice-control-plane", "sluice-dns", "sluice-services", "sluice-encoder"],
)
def test_a_wrong_setting_is_named_with_its_file_and_line(tmp_path: Path, program: str) -> None:
    config = tmp_path / "wrong.toml"
    config.write_text("# a comment\nlistenn = 5\n")

    done = subprocess.run(
        [str(SCRIPTS / program), "check-config", str(config)],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )

    assert done.returncode == 2
    assert f"{config}:2: unknown key 'listenn'" in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


def _http(place: tuple[str, int], request: bytes) -> int:
    with socket.create_connection(place, timeout=5) as peer:
        peer.sendall(request)
        peer.settimeout(5)
        head = b""
        while b"\r\n" not in head:
            part = peer.recv(65536)
            assert part, f"closed without an answer after {head!r}"
            head += part
    return int(head.split(b" ", 2)[1])


def _dns(stack: Stack, packet: bytes) -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
        peer.settimeout(5)
        peer.sendto(packet, ("127.0.0.1", stack.ports["dns"]))
        answer = peer.recv(4096)
    assert answer[:2] == packet[:2]
    return answer[3] & 0x0F


def _channel(stack: Stack, identity: str) -> grpc.Channel:
    folder = stack.state / "control-plane" / "identities" / identity
    credentials = grpc.ssl_channel_credentials(
        (folder / "ca.pem").read_bytes(),
        (folder / "key.pem").read_bytes(),
        (folder / "cert.pem").read_bytes(),
    )
    return grpc.secure_channel(
        f"127.0.0.1:{stack.ports['control-plane']}",
        credentials,
        options=[("grpc.ssl_target_name_override", rpc.SERVER_NAME)],
    )
