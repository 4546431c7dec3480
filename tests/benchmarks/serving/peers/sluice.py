"""Sluice, as an appliance serves: one worker under its supervisor, no option beside what is asked."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks.serving.peers.running import HERE, Peer, Site, free_port, running


@contextmanager
def sluice(site: Site, without: str = "") -> Iterator[Peer]:
    """`without` one of the parts of `ablated.PARTS`, or whole."""
    port = free_port()
    argv = [sys.executable, "-m", "sluice_appliance.main", "serve", "--workers", str(site.workers)]
    if without:
        argv = [sys.executable, str(HERE.parent / "ablated.py"), without]
    argv += ["--store", str(site.store), "--listen", f"127.0.0.1:{port}"]
    if site.tls is not None:
        argv += ["--tls-cert", str(site.tls.certificate), "--tls-key", str(site.tls.key)]
    with running(f"without {without}" if without else "sluice", argv, port, site) as peer:
        yield peer
