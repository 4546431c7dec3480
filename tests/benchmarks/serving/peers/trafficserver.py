"""Apache Traffic Server: a reverse proxy whose memory holds all, before an nginx that is idle once warm.

Its settings are the files of `trafficserver/`; `runroot.yaml` makes it keep to a folder of its own, so
that nothing of the machine's installation is read or written and no root is needed.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from benchmarks.serving.peers.nginx import nginx
from benchmarks.serving.peers.running import HERE, Peer, Site, filled, free_port, running

_SETTINGS = sorted(path.name for path in (HERE / "trafficserver").glob("*.template"))


@contextmanager
def trafficserver(site: Site) -> Iterator[Peer]:
    with ExitStack() as stack:
        root = site.folder / "trafficserver" / site.scheme
        for name in ("config", "run", "log", "cache", "origin"):
            (root / name).mkdir(parents=True, exist_ok=True)
        origin = stack.enter_context(nginx(site._replace(folder=root / "origin", tls=None)))
        port = free_port()
        for name in _SETTINGS:
            text = filled(
                f"trafficserver/{name}",
                root=root,
                port=f"{port}:ip-in=127.0.0.1{':ssl' if site.tls else ''}",
                origin=origin.url,
                certificate=site.tls.certificate if site.tls else "",
                key=site.tls.key if site.tls else "",
            )
            (root / "config" / name.removesuffix(".template")).write_text(text)
        argv = ["traffic_server", f"--run-root={root / 'config' / 'runroot.yaml'}"]
        yield stack.enter_context(running("trafficserver", argv, port, site))
