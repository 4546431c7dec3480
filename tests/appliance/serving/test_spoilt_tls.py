"""Over TLS, and where bytes are copied, a file that gives no more of itself ends a response and never the worker.

Real processes: what is read from a mapping behind the end of its file kills who reads.
"""

import os
import random
import ssl
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from appliance.serving.broken_disk import breakable_disk
from appliance.serving.conversation import ask
from appliance.serving.serve_process import (
    Served,
    put_object,
    read_response,
    serve,
)
from appliance.serving.slow_disk import evict
from appliance.serving.test_tls import make_certificate

from sluice_appliance.serving.openssl import TlsFiles
from sluice_appliance.store.layout import BODY_OFFSET, object_path, parse_key

BIG = random.Random(5).randbytes(8 * 1024 * 1024)
MIDDLE = random.Random(3).randbytes(100_000)
GOOD = b"a good object\n"


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> TlsFiles:
    return make_certificate(tmp_path_factory.mktemp("spoilt-tls"))


@pytest.fixture
def served(tmp_path: Path, files: TlsFiles) -> Iterator[Served]:
    root = put_all(tmp_path / "store")
    with serve(root, "--tls-cert", str(files.certificate), "--tls-key", str(files.key)) as running:
        yield running


def put_all(root: Path) -> Path:
    for name, body in {"big": BIG, "middle": MIDDLE, "good": GOOD}.items():
        put_object(root, f"film/v1/{name}", body)
    return root


def file_of(root: Path, name: str) -> Path:
    return Path(object_path(str(root), parse_key(f"film/v1/{name}")))


def secure(served: Served, files: TlsFiles) -> ssl.SSLSocket:
    context = ssl.create_default_context(cafile=str(files.certificate))
    return context.wrap_socket(served.connect(), server_hostname="localhost")


def rest_of(client: ssl.SSLSocket) -> bytes:
    received = b""
    while piece := client.recv(1 << 18):
        received += piece
    return received


def the_worker_lives_and_serves(
    served: Served, files: TlsFiles, workers: list[int], beside: ssl.SSLSocket
) -> None:
    """A connection from before, and a new one."""
    for client in (beside, secure(served, files)):
        with closing(client):
            client.sendall(ask(b"good"))
            assert read_response(client)[::2] == (200, GOOD)
    assert served.workers() == workers
    assert served.counters()["sluice_appliance_worker_restarts_total"] == 0


def test_a_file_cut_short_while_it_is_sent_over_tls_ends_its_response_and_no_worker(
    served: Served, files: TlsFiles, tmp_path: Path
) -> None:
    workers = served.workers()
    with closing(secure(served, files)) as client, closing(secure(served, files)) as beside:
        client.sendall(ask(b"big"))
        received = client.recv(1000)
        os.truncate(file_of(tmp_path / "store", "big"), BODY_OFFSET + 100_000)
        received += rest_of(client)
        head, _, body = received.partition(b"\r\n\r\n")
        assert b"Content-Length: %d" % len(BIG) in head
        # What came is true, and is not taken for the whole.
        assert BIG.startswith(body)
        assert len(body) < len(BIG)
        the_worker_lives_and_serves(served, files, workers, beside)


@pytest.mark.parametrize("left_bytes", [0, 4096, 90_000])
def test_a_file_cut_short_between_two_requests_over_tls_ends_no_worker(
    served: Served, files: TlsFiles, tmp_path: Path, left_bytes: int
) -> None:
    workers = served.workers()
    with closing(secure(served, files)) as client, closing(secure(served, files)) as beside:
        for _ in range(3):
            client.sendall(ask(b"middle"))
            assert read_response(client)[::2] == (200, MIDDLE)
        os.truncate(file_of(tmp_path / "store", "middle"), BODY_OFFSET + left_bytes)
        client.sendall(ask(b"middle"))
        head, _, body = rest_of(client).partition(b"\r\n\r\n")
        # Whatever was said before the end was met is no lie.
        assert not head.startswith(b"HTTP/1.1 200 ") or MIDDLE[:left_bytes].startswith(body)
        the_worker_lives_and_serves(served, files, workers, beside)


def test_a_disk_that_fails_under_a_body_that_was_hot_over_tls_ends_no_worker(
    tmp_path: Path, files: TlsFiles
) -> None:
    options = ("--tls-cert", str(files.certificate), "--tls-key", str(files.key))
    with breakable_disk(tmp_path, size_bytes=32 * 1024 * 1024) as disk:
        root = put_all(disk.path / "store")
        file = file_of(root, "middle")
        with serve(root, *options) as served:
            workers = served.workers()
            with closing(secure(served, files)) as client, closing(secure(served, files)) as beside:
                for name, body in (("good", GOOD), ("middle", MIDDLE), ("middle", MIDDLE)):
                    client.sendall(ask(name.encode()))
                    assert read_response(client)[::2] == (200, body)
                disk.break_from(file, BODY_OFFSET + 20_000)
                evict(file)
                client.sendall(ask(b"middle", b"Connection: close"))
                head, _, body = rest_of(client).partition(b"\r\n\r\n")
                assert b"\r\nContent-Length: 100000\r\n" not in head or len(body) < len(MIDDLE)
                the_worker_lives_and_serves(served, files, workers, beside)


def test_a_small_object_cut_short_in_the_clear_while_it_is_hot_ends_no_worker(
    tmp_path: Path,
) -> None:
    """It is copied into memory each time that its answer was kept for long enough."""
    root = put_all(tmp_path / "store")
    with serve(root) as served, closing(served.connect()) as beside:
        workers = served.workers()
        with closing(served.connect()) as client:
            for _ in range(3):
                client.sendall(ask(b"good"))
                assert read_response(client)[::2] == (200, GOOD)
            os.truncate(file_of(root, "good"), BODY_OFFSET)
            ended = False
            while not ended:
                client.sendall(ask(b"good"))
                ended = not client.recv(65536).startswith(b"HTTP/1.1 200 ")
        beside.sendall(ask(b"middle"))
        assert read_response(beside)[::2] == (200, MIDDLE)
        assert served.workers() == workers
