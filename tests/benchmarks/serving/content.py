"""What is served while measured: objects as plain files for the peers and as a store for ours, a key pair."""

import datetime
import hashlib
import http.client
import ipaddress
import os
import random
import ssl
from collections.abc import Iterable
from pathlib import Path

from benchmarks.serving.peers.running import Pair, Peer, Site
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from sluice_appliance.store.layout import (
    BODY_OFFSET,
    WITHOUT_BLOCKS,
    ObjectHeader,
    encode_header,
    object_path,
    parse_key,
)

CONTENT_TYPE = "video/mp4"
_TIMEOUT_S = 30.0
_ADDRESS = ipaddress.ip_address("127.0.0.1")


class WrongAnswer(Exception):
    """A server gave something else than the object: what it would be measured at is not the work."""


def write_object(site: Site, name: str, size_bytes: int, rng: random.Random) -> None:
    """`name` as a plain file and as a store of ours wants it; both are in memory then."""
    body = rng.randbytes(size_bytes)
    plain = site.files / name
    plain.parent.mkdir(parents=True, exist_ok=True)
    plain.write_bytes(body)
    kept = stored(site, name)
    kept.parent.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256(body).digest()
    header = ObjectHeader(parse_key(name), size_bytes, digest, CONTENT_TYPE)
    kept.write_bytes(encode_header(header, WITHOUT_BLOCKS) + body)


def stored(site: Site, name: str) -> Path:
    return Path(object_path(str(site.store), parse_key(name)))


def remove_objects(site: Site, names: Iterable[str]) -> None:
    for name in names:
        (site.files / name).unlink()
        stored(site, name).unlink()


def drop_from_memory(site: Site, names: Iterable[str]) -> None:
    """Bodies leave the page cache; that there are such files stays known. They must be on the disk."""
    for name in names:
        for path in (site.files / name, stored(site, name)):
            descriptor = os.open(path, os.O_RDONLY)
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(descriptor)


def warm(peer: Peer, site: Site, names: Iterable[str]) -> None:
    """Asks for each twice, so that a cache has it. Raises WrongAnswer for other bytes than the object's."""
    for name in names:
        body = (site.files / name).read_bytes()
        for _ in range(2):
            _expect(peer, name, {}, 200, body)
        first = slice(1, min(len(body), BODY_OFFSET))
        asked = {"Range": f"bytes={first.start}-{first.stop - 1}"}
        _expect(peer, name, asked, 206, body[first])


def _expect(peer: Peer, name: str, fields: dict[str, str], status: int, body: bytes) -> None:
    with_peer: http.client.HTTPConnection
    if peer.scheme == "https":
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        with_peer = http.client.HTTPSConnection(
            "127.0.0.1", peer.port, timeout=_TIMEOUT_S, context=context
        )
    else:
        with_peer = http.client.HTTPConnection("127.0.0.1", peer.port, timeout=_TIMEOUT_S)
    try:
        with_peer.request("GET", f"/{name}", headers=fields)
        response = with_peer.getresponse()
        got = response.read()
    except (OSError, http.client.HTTPException) as error:
        raise WrongAnswer(f"{peer.name} does not answer {name}: {error!r}") from None
    finally:
        with_peer.close()
    if response.status != status or got != body:
        raise WrongAnswer(
            f"{peer.name} answers {name} {fields or ''} with {response.status} and {len(got)} bytes,"
            f" expected {status} and the object's {len(body)}"
        )


def site_in(folder: Path) -> Site:
    """A folder to fill with objects, with a key pair for TLS."""
    (folder / "store").mkdir()
    return Site(folder, folder / "files", folder / "store", _certificate(folder))


def _certificate(folder: Path) -> Pair:
    """A self-signed P-256 pair."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    signed = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        # Caddy looks for the address where a client names no host.
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(_ADDRESS)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pair = Pair(folder / "cert.pem", folder / "key.pem")
    pair.certificate.write_bytes(signed.public_bytes(Encoding.PEM))
    pair.key.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return pair
