"""Caddy: its file server on one thread of Go, HTTP/1.1 alone, no administration, no log."""

from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks.serving.peers.running import Peer, Site, filled, free_port, running


@contextmanager
def caddy(site: Site) -> Iterator[Peer]:
    port = free_port()
    secure = ""
    if site.tls is not None:
        secure = f"tls {site.tls.certificate} {site.tls.key} {{\nprotocols tls1.3\n}}"
    settings = site.folder / f"Caddyfile-{site.scheme}"
    settings.write_text(
        filled("Caddyfile.template", scheme=site.scheme, port=port, tls=secure, root=site.files)
    )
    argv = ["caddy", "run", "--adapter", "caddyfile", "--config", str(settings)]
    home = {name: str(site.folder) for name in ("HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME")}
    with running("caddy", argv, port, site, environment={"GOMAXPROCS": "1", **home}) as peer:
        yield peer
