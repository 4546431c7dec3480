"""TLS that the kernel may cipher: the same bytes, whether it does or not."""

import ssl
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from appliance.serving.conversation import BODIES, MIDDLE, Clients, Reading, ask, put_bodies
from appliance.serving.test_tls import make_certificate
from appliance.serving.worker_by_hand import ByHand, by_hand

from sluice_appliance.serving import tally
from sluice_appliance.serving.openssl import Context, TlsFiles
from sluice_appliance.serving.tls import kernel_has_tls

LINES = [
    (),
    (b"Range: bytes=100-250000",),
    (b"Range: bytes=1-99999,150000-",),
    (b"Range: bytes=-1",),
]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> TlsFiles:
    return make_certificate(tmp_path_factory.mktemp("kernel-tls"))


@pytest.fixture
def served(tmp_path: Path, files: TlsFiles) -> Iterator[ByHand]:
    with by_hand(put_bodies(tmp_path / "store"), context=Context(files, kernel=True)) as found:
        yield found


def everything(clients: Clients, *, slowly: bool) -> None:
    """Each answer is the same as in the clear."""
    plain = Clients(clients.served, "plain", clients.files)
    buffers = {"receive_buffer_bytes": 2304, "send_buffer_bytes": 4608} if slowly else {}
    with closing(clients.connect(**buffers)) as client, closing(plain.connect()) as beside:
        reading, expected = Reading(client, 5000), Reading(beside)
        for lines in LINES * 2:
            client.send(ask(b"middle", *lines))
            beside.send(ask(b"middle", *lines))
            assert reading.answer() == expected.answer()
        client.send(b"".join(map(ask, BODIES)))
        for body in BODIES.values():
            assert reading.answer()[2] == body
    served = clients.served
    assert served.counts(tally.BROKEN_OFF) == 0


@pytest.mark.parametrize("slowly", [False, True])
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.skipif(not kernel_has_tls(), reason="this kernel has no module `tls` (modprobe tls)")
def test_bodies_that_the_kernel_ciphers_are_those_of_the_clear(
    served: ByHand, files: TlsFiles, version: ssl.TLSVersion, *, slowly: bool
) -> None:
    everything(Clients(served, "tls", files, version), slowly=slowly)
    assert served.counts(tally.KERNEL_TLS) == served.counts(tally.TLS_HANDSHAKES) == 1


@pytest.mark.parametrize("slowly", [False, True])
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.skipif(kernel_has_tls(), reason="this kernel has the module `tls`: it ciphers itself")
def test_where_the_kernel_does_not_cipher_after_all_the_bodies_are_the_same(
    served: ByHand, files: TlsFiles, version: ssl.TLSVersion, *, slowly: bool
) -> None:
    """As where it knows the module and not the cipher: OpenSSL writes to the socket itself."""
    everything(Clients(served, "tls", files, version), slowly=slowly)
    assert served.counts(tally.TLS_HANDSHAKES) == 1
    assert served.counts(tally.KERNEL_TLS) == 0


def test_the_end_is_told_through_the_kernel_too(served: ByHand, files: TlsFiles) -> None:
    with closing(Clients(served, "tls", files).connect()) as client:
        client.send(ask(b"middle", b"Connection: close"))
        reading = Reading(client)
        assert reading.answer()[2] == MIDDLE
        # Without close_notify this would raise.
        assert reading.ended()
