"""The servers that are measured, each with one worker on core 0, and how much CPU it has used."""

import datetime
import os
import socket
import string
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

HERE = Path(__file__).parent
SERVER_CORE = "0"
_START_TIMEOUT_S = 20.0


class Pair(NamedTuple):
    certificate: Path
    key: Path


@dataclass(frozen=True, slots=True)
class Peer:
    """A running server: `worker` is the process that serves."""

    name: str
    url: str
    files: Path
    worker: int

    def size_bytes(self, name: str) -> int:
        return (self.files / name).stat().st_size

    def cpu_s(self) -> float:
        """User and system time of the worker so far."""
        fields = Path(f"/proc/{self.worker}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def sluice(folder: Path, tls: Pair | None) -> Iterator[Peer]:
    port = _free_port()
    argv = [sys.executable, "-m", "sluice_appliance.main", "serve", "--workers", "1"]
    argv += ["--store", str(folder / "store"), "--listen", f"127.0.0.1:{port}"]
    if tls is not None:
        argv += ["--tls-cert", str(tls.certificate), "--tls-key", str(tls.key)]
    with _running(argv, port, folder / "sluice.log") as process:
        yield _peer("sluice", port, folder, tls, process)


@contextmanager
def nginx(folder: Path, tls: Pair | None) -> Iterator[Peer]:
    port = _free_port()
    secure = ""
    if tls is not None:
        secure = f"ssl_certificate {tls.certificate};\nssl_certificate_key {tls.key};\n"
        secure += "ssl_protocols TLSv1.3;\nssl_session_cache shared:tls:1m;"
    text = string.Template((HERE / "nginx.conf.template").read_text()).substitute(
        user="user root;" if os.geteuid() == 0 else "",
        folder=folder,
        listen=f"127.0.0.1:{port}{' ssl' if tls else ''}",
        tls=secure,
        root=folder / "files",
    )
    settings = folder / "nginx.conf"
    settings.write_text(text)
    path = os.environ["PATH"] + ":/usr/sbin"
    argv = ["nginx", "-p", str(folder), "-c", str(settings), "-e", str(folder / "nginx.log")]
    with _running(argv, port, folder / "nginx.log", path=path) as process:
        yield _peer("nginx", port, folder, tls, process)


def certificate(folder: Path) -> Pair:
    """A self-signed P-256 pair."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    signed = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    pair = Pair(folder / "cert.pem", folder / "key.pem")
    pair.certificate.write_bytes(signed.public_bytes(Encoding.PEM))
    pair.key.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return pair


@contextmanager
def _running(
    argv: list[str], port: int, log: Path, *, path: str | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    environment = {**os.environ, "PATH": path or os.environ["PATH"]}
    with (
        log.open("ab") as written,
        subprocess.Popen(
            ["taskset", "-c", SERVER_CORE, *argv], stdout=written, stderr=written, env=environment
        ) as process,
    ):
        try:
            _until(lambda: _listens(port), f"{argv[0]} listens on {port}: see {log.read_text()}")
            _until(lambda: bool(_children(process.pid)), f"{argv[0]} has a worker")
            yield process
        finally:
            process.terminate()


def _peer(
    name: str, port: int, folder: Path, tls: Pair | None, process: subprocess.Popen[bytes]
) -> Peer:
    scheme = "https" if tls else "http"
    (worker,) = _children(process.pid)
    return Peer(name, f"{scheme}://127.0.0.1:{port}", folder / "files", worker)


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _listens(port: int) -> bool:
    with closing(socket.socket()) as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def _free_port() -> int:
    with closing(socket.create_server(("127.0.0.1", 0))) as probe:
        port: int = probe.getsockname()[1]
        return port


def _until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + _START_TIMEOUT_S
    while not condition():
        if time.monotonic() > deadline:
            raise RuntimeError(f"not within {_START_TIMEOUT_S} s: {what}")
        time.sleep(0.05)
