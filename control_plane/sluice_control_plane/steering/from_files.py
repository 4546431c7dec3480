"""`compile-map`: steering alone, from a fleet file and a file of routes, written as a signed map.

No control plane, no database, no health. Each mistake is one line, `file:line: reason`, and exit code 2.
"""

import argparse
import dataclasses
import json
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from sluice.steering.v1 import map_pb2
from sluice_control_plane.steering.compiler import compile_map
from sluice_control_plane.steering.fleet_file import read_fleet, snapshot_of
from sluice_control_plane.steering.partition import TooManyBlocks, partition
from sluice_control_plane.steering.routes import Route, RouteRefused, parse_prefix
from sluice_runtime import signatures
from sluice_runtime.config import ConfigError
from sluice_runtime.files import write_atomically

MAP_PURPOSE = "sluice.steering.v1.SteeringMap"
USAGE_ERROR = 2

_EXAMPLE = """\
example:
  sluice-control-plane compile-map --fleet fleet.toml --routes routes.txt --out map.pb
  sluice-dns serve --map map.pb --listen 127.0.0.1:5353

fleet.toml:
  zone = "v.example.net"
  [[sites]]
  id = "site-a"
  [[appliances]]
  id = "a-1"
  site = "site-a"
  ipv4 = "192.0.2.10"

routes.txt (PREFIX SITE, # comments):
  10.1.0.0/16 site-a
"""


def add_compile_map(
    subparsers: "argparse._SubParsersAction[Any]",
    *,
    wall_clock: Callable[[], float] = lambda: datetime.now(UTC).timestamp(),
    clock: Callable[[], float] = time.perf_counter,
) -> None:
    """Adds the subcommand; its `run` default is what main calls with the arguments: the exit code."""
    parser = subparsers.add_parser(
        "compile-map",
        help="compile a steering map from a fleet file and a routes file",
        description="Compiles a fleet file and a routes file into a steering map.",
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--fleet", type=Path, required=True, metavar="FILE", help="TOML")
    parser.add_argument(
        "--routes", type=Path, required=True, metavar="FILE", help="a PREFIX and a SITE a line"
    )
    parser.add_argument("--out", type=Path, required=True, metavar="MAP", help="the map to write")
    parser.add_argument(
        "--signing-key", type=Path, metavar="PEM", help="Ed25519 private key; not signed without"
    )
    parser.add_argument("--json", action="store_true", help="print the facts as JSON")
    parser.set_defaults(
        run=lambda arguments: _compile_and_print(arguments, now=wall_clock(), clock=clock)
    )


@dataclass(frozen=True, slots=True)
class MapFacts:
    """What `compile-map` prints."""

    map: str
    routes: int
    ipv4_blocks: int
    ipv6_blocks: int
    classes: int
    sites: int
    appliances: int
    seconds: float
    size_bytes: int
    signed_by: str

    def in_words(self) -> str:
        signed = f"signed by {self.signed_by}" if self.signed_by else "not signed"
        return (
            f"{self.map}: {self.routes} routes, {self.ipv4_blocks} IPv4 and {self.ipv6_blocks} IPv6 "
            f"blocks, {self.classes} classes, {self.sites} sites, {self.appliances} appliances, "
            f"{self.size_bytes} bytes, {self.seconds:.2f} s, {signed}"
        )


def read_routes(path: Path, site_ids: frozenset[str]) -> Iterator[Route]:
    """Reads `PREFIX SITE` lines; `#` begins a comment. Raises ConfigError with file and line."""
    try:
        with path.open(encoding="utf-8") as lines:
            for number, line in enumerate(lines, start=1):
                words = line.partition("#")[0].split()
                if words:
                    yield _route(f"{path}:{number}", words, site_ids)
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: byte {error.start} is not UTF-8") from None
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from None


def write_map(
    *,
    fleet_path: Path,
    routes_path: Path,
    map_path: Path,
    signing_key_path: Path | None,
    now: float,
    clock: Callable[[], float],
) -> MapFacts:
    """Compiles two files into a third. Raises ConfigError; the old map stays where it does.

    The revision is the time in milliseconds, so that a later map is a newer one.
    """
    started_at = clock()
    key = None if signing_key_path is None else _signing_key(signing_key_path)
    fleet = read_fleet(fleet_path)
    site_ids = [site.id for site in fleet.sites]
    routes = list(read_routes(routes_path, frozenset(site_ids)))
    try:
        cut = partition(routes, site_ids)
    except TooManyBlocks as error:
        raise ConfigError(f"{routes_path}: {error}") from None
    compiled = compile_map(snapshot_of(fleet, cut), revision=round(now * 1000), now=now)
    signed = map_pb2.SignedMap(payload=compiled.SerializeToString(deterministic=True))
    if key is not None:
        signed.key_id = signatures.key_id(key.public_key())
        signed.signature = signatures.sign(key, MAP_PURPOSE, signed.payload)
    content = signed.SerializeToString(deterministic=True)
    try:
        write_atomically(map_path, content)
    except OSError as error:
        raise ConfigError(f"{map_path}: {error.strerror}") from None
    return MapFacts(
        map=str(map_path),
        routes=len(routes),
        ipv4_blocks=len(cut.blocks[4]),
        ipv6_blocks=len(cut.blocks[6]),
        classes=len(cut.classes),
        sites=len(fleet.sites),
        appliances=len(fleet.appliances),
        seconds=round(clock() - started_at, 3),
        size_bytes=len(content),
        signed_by=signed.key_id,
    )


def _route(where: str, words: list[str], site_ids: frozenset[str]) -> Route:
    if len(words) != 2:
        raise ConfigError(
            f"{where}: {len(words)} words, expected a prefix and a site, such as 10.1.0.0/16 site-a"
        )
    prefix_text, site_id = words
    if site_id not in site_ids:
        raise ConfigError(
            f"{where}: site is '{site_id}', expected one of {', '.join(sorted(site_ids))}"
        )
    try:
        return Route(parse_prefix(prefix_text), site_id)
    except RouteRefused as error:
        raise ConfigError(f"{where}: {error}") from None


def _signing_key(path: Path) -> Ed25519PrivateKey:
    try:
        return signatures.load_signing_key(path.read_bytes())
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from None
    except (TypeError, ValueError, UnsupportedAlgorithm) as error:
        raise ConfigError(f"{path}: {error}") from None


def _compile_and_print(
    arguments: argparse.Namespace, *, now: float, clock: Callable[[], float]
) -> int:
    try:
        facts = write_map(
            fleet_path=arguments.fleet,
            routes_path=arguments.routes,
            map_path=arguments.out,
            signing_key_path=arguments.signing_key,
            now=now,
            clock=clock,
        )
    except ConfigError as error:
        sys.stderr.write(f"{error}\n")
        return USAGE_ERROR
    words = json.dumps(dataclasses.asdict(facts)) if arguments.json else facts.in_words()
    sys.stdout.write(f"{words}\n")
    return 0
