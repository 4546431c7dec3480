"""Varnish: everything in memory, one pool of threads, asked for by an nginx that is idle once warm.

7.1 speaks no TLS. The working folder is in memory where the machine has such a place, as its manual
asks: the log that it always writes there would otherwise go to the disk.
"""

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from benchmarks.serving.peers.nginx import nginx
from benchmarks.serving.peers.running import Peer, Site, filled, free_port, running

_IN_MEMORY = Path("/dev/shm")
_PARAMETERS = {
    # One core: more pools would only share it. A thread for each connection that is busy.
    "thread_pools": "1",
    "thread_pool_min": "300",
    "thread_pool_max": "5000",
    # It is stopped while others are measured: its manager is not to take that for its end.
    "ping_interval": "0",
    "timeout_idle": "300",
}


@contextmanager
def varnish(site: Site) -> Iterator[Peer]:
    with ExitStack() as stack:
        behind = site.folder / "behind-varnish"
        behind.mkdir(exist_ok=True)
        origin = stack.enter_context(nginx(site._replace(folder=behind, tls=None)))
        where = _IN_MEMORY if _IN_MEMORY.is_dir() else site.folder
        work = stack.enter_context(tempfile.TemporaryDirectory(prefix="varnish-", dir=where))
        program = site.folder / "varnish.vcl"
        program.write_text(filled("varnish.vcl.template", port=origin.port))
        port = free_port()
        argv = ["varnishd", "-F", "-n", work, "-j", "none", "-f", str(program)]
        argv += ["-a", f"127.0.0.1:{port}", "-s", "malloc,1G", "-T", "none"]
        for name, value in _PARAMETERS.items():
            argv += ["-p", f"{name}={value}"]
        yield stack.enter_context(running("varnish", argv, port, site))
