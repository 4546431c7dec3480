"""Who can be measured: how each is started, what it needs installed, and what it cannot do."""

import shutil
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import NamedTuple

from benchmarks.serving.peers.caddy import caddy
from benchmarks.serving.peers.h2o import h2o
from benchmarks.serving.peers.nginx import nginx
from benchmarks.serving.peers.running import PATH, Peer, Site
from benchmarks.serving.peers.sluice import sluice
from benchmarks.serving.peers.trafficserver import trafficserver
from benchmarks.serving.peers.varnish import varnish

_KEEPS_A_COPY = "keeps a copy of its own, which cannot be taken out of memory from outside"


class Entry(NamedTuple):
    start: Callable[[Site], AbstractContextManager[Peer]]
    # The program that has to be there, Debian's package with it, how it tells its version.
    program: str
    package: str
    version: tuple[str, ...] = ()
    # Why it is left out over TLS, or of cold runs; empty where it takes part.
    no_tls: str = ""
    no_cold: str = ""


ROSTER = {
    "sluice": Entry(sluice, "taskset", "util-linux"),
    "nginx": Entry(nginx, "nginx", "nginx-light", ("-v",)),
    "varnish": Entry(
        varnish, "varnishd", "varnish", ("-V",), "has no TLS in this version", _KEEPS_A_COPY
    ),
    "trafficserver": Entry(
        trafficserver, "traffic_server", "trafficserver", ("--version",), "", _KEEPS_A_COPY
    ),
    "h2o": Entry(h2o, "h2o", "h2o", ("--version",)),
    "caddy": Entry(caddy, "caddy", "caddy", ("version",)),
}


class Missing(Exception):
    """A program that the measurement needs is not installed."""


def installed(program: str) -> bool:
    return shutil.which(program, path=PATH) is not None


def require(
    names: Sequence[str],
    tools: Sequence[tuple[str, str]],
    has: Callable[[str], bool] = installed,
) -> None:
    """Raises Missing, naming all packages, for a peer or a (program, package) that is not there."""
    peers = [name for name in names if not has(ROSTER[name].program)]
    packages = [ROSTER[name].package for name in peers]
    packages += [package for program, package in tools if not has(program)]
    if not packages:
        return
    advice = f"install with: apt-get install {' '.join(packages)}"
    if peers:
        left = ",".join(name for name in names if name not in peers)
        advice += f"; or leave {', '.join(peers)} out: --peers {left}"
    raise Missing(f"missing {', '.join(packages)}; {advice}")
