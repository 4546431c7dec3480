"""The origin over real sockets."""

import asyncio
import http.client
import os
import signal
import socket
import subprocess
import urllib.request
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from encoder.conftest import PROGRAM
from prometheus_client import CollectorRegistry

from sluice_encoder.metrics import OriginMetrics
from sluice_encoder.origin.server import serve

CONTENT = bytes(range(256)) * 4096


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "origin" / "film" / "v1"
    folder.mkdir(parents=True)
    (folder / "a.mp4").write_bytes(CONTENT)
    (folder / ".b.mp4.part").write_bytes(b"half")
    (tmp_path / "secret").write_text("secret")
    (folder / "link.mp4").symlink_to(tmp_path / "secret")
    return tmp_path / "origin"


@pytest.fixture
def origin(root: Path) -> Iterator[tuple[str, int, int]]:
    """A real process: host, data port, admin port."""
    ports = []
    for _ in range(2):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            ports.append(free.getsockname()[1])
    process = subprocess.Popen(
        [
            *(PROGRAM, "origin", "--root", str(root), "--listen", f"127.0.0.1:{ports[0]}"),
            *("--admin", f"127.0.0.1:{ports[1]}"),
        ],
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    assert "origin_ready" in process.stderr.readline()
    try:
        yield "127.0.0.1", ports[0], ports[1]
    finally:
        process.send_signal(signal.SIGTERM)
        _, rest = process.communicate(timeout=10)
        assert (process.returncode, rest) == (0, "")


def _ask(
    origin: tuple[str, int, int], path: str, method: str = "GET", **headers: str
) -> tuple[int, dict[str, str], bytes]:
    connection = http.client.HTTPConnection(origin[0], origin[1], timeout=10)
    try:
        connection.request(method, path, headers=headers)
        response = connection.getresponse()
        return response.status, {k.lower(): v for k, v in response.getheaders()}, response.read()
    finally:
        connection.close()


def test_an_object_is_served_whole_in_part_and_by_its_head(origin: tuple[str, int, int]) -> None:
    status, headers, body = _ask(origin, "/film/v1/a.mp4")
    assert (status, body, headers["content-type"]) == (200, CONTENT, "video/mp4")
    assert headers["accept-ranges"] == "bytes"

    part = _ask(origin, "/film/v1/a.mp4", Range="bytes=1000-1999")
    assert (part[0], part[2]) == (206, CONTENT[1000:2000])
    assert part[1]["content-range"] == f"bytes 1000-1999/{len(CONTENT)}"

    tail = _ask(origin, "/film/v1/a.mp4", Range=f"bytes={len(CONTENT) - 5}-")
    assert (tail[0], tail[2]) == (206, CONTENT[-5:])

    head = _ask(origin, "/film/v1/a.mp4", "HEAD")
    assert (head[0], head[2], head[1]["content-length"]) == (200, b"", str(len(CONTENT)))

    same = _ask(origin, "/film/v1/a.mp4", **{"If-None-Match": headers["etag"]})
    assert (same[0], same[2]) == (304, b"")


def test_a_range_that_is_not_there_is_416(origin: tuple[str, int, int]) -> None:
    assert _ask(origin, "/film/v1/a.mp4", Range=f"bytes={len(CONTENT)}-")[0] == 416


@pytest.mark.parametrize(
    "path",
    [
        *("/", "/film", "/film/v1", "/film/v1/", "//film/v1/a.mp4", "/film/v1/.b.mp4.part"),
        *("/film/v1/../v1/a.mp4", "/%2e%2e/secret", "/film/v1/%61.mp4", "/film/v1/link.mp4"),
        *("/film/v1/b.mp4", "/../secret", "/" + "a" * 600, "/film/v1/a.mp4%00"),
    ],
)
def test_what_is_no_published_object_is_not_there(origin: tuple[str, int, int], path: str) -> None:
    status, _, body = _ask(origin, path)

    assert status == 404
    assert b"secret" not in body


def test_an_origin_is_read_only(origin: tuple[str, int, int], root: Path) -> None:
    for method in ("PUT", "DELETE", "POST"):
        assert _ask(origin, "/film/v1/a.mp4", method)[0] == 405
    assert (root / "film" / "v1" / "a.mp4").read_bytes() == CONTENT


def test_the_admin_page_counts_what_was_asked_and_sent(origin: tuple[str, int, int]) -> None:
    _ask(origin, "/film/v1/a.mp4", Range="bytes=0-99")
    _ask(origin, "/nothing")

    with urllib.request.urlopen(f"http://127.0.0.1:{origin[2]}/metrics", timeout=5) as page:
        text = page.read().decode()
    with urllib.request.urlopen(f"http://127.0.0.1:{origin[2]}/healthz", timeout=5) as page:
        assert page.status == 200

    assert 'sluice_origin_requests_total{status="206"} 1.0' in text
    assert 'sluice_origin_requests_total{status="404"} 1.0' in text
    assert "sluice_origin_sent_bytes_total 100.0" in text


def test_a_taken_address_is_named_with_its_option(root: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        done = subprocess.run(
            [PROGRAM, "origin", "--root", str(root), "--listen", address],
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )
    assert (done.returncode, done.stderr) == (
        2,
        f"sluice-encoder: {address}: address in use; choose another with --listen\n",
    )


def test_too_many_at_once_are_told_to_come_again(root: Path) -> None:
    asyncio.run(_crowd(root))


async def _crowd(root: Path) -> None:
    big = root / "film" / "v1" / "big.mp4"
    with big.open("wb") as file:
        os.truncate(file.fileno(), 64 * 1024 * 1024)
    registry = CollectorRegistry()
    metrics = OriginMetrics(registry)
    async with (
        serve(root, "127.0.0.1", 0, metrics, requests_max=1) as place,
        _reader(place, "big") as slow,
    ):
        await slow.readexactly(1000)
        async with _reader(place, "a") as refused:
            assert (await refused.readline()).startswith(b"HTTP/1.1 503")
    assert registry.get_sample_value("sluice_origin_refused_total") == 1


@asynccontextmanager
async def _reader(place: tuple[str, int], name: str) -> AsyncIterator[asyncio.StreamReader]:
    reader, writer = await asyncio.open_connection(*place)
    writer.write(f"GET /film/v1/{name}.mp4 HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    try:
        yield reader
    finally:
        writer.close()
        await writer.wait_closed()
