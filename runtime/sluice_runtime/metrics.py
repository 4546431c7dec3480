"""Metrics: counters that worker processes share, and the admin page that shows them.

A worker adds to its own row of a shared memory page (an `array` store, about 60 ns, no lock and no
system call); the supervisor sums the rows when Prometheus asks. A worker that dies leaves its row,
and the worker that takes its place counts on.
"""

import mmap
import os
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.registry import Collector

_CELL_BYTES = 8


@dataclass(frozen=True, slots=True)
class CounterSpec:
    """A counter: its name ends in `_total`; the sentence tells an operator what to make of it."""

    name: str
    sentence: str
    labels: Mapping[str, str] | None = None


class SharedCounters:
    """One row of counters for each worker, in memory that child processes inherit by descriptor."""

    def __init__(self, specs: Sequence[CounterSpec], *, rows: int, descriptor: int = -1) -> None:
        self.specs = tuple(specs)
        self.rows = rows
        size = max(mmap.PAGESIZE, len(self.specs) * rows * _CELL_BYTES)
        if descriptor < 0:
            descriptor = os.memfd_create("sluice-counters", os.MFD_CLOEXEC)
            os.ftruncate(descriptor, size)
        self.descriptor = descriptor
        self._cells = memoryview(mmap.mmap(descriptor, size)).cast("Q")

    def row(self, worker: int) -> "memoryview[int]":
        """The cells of one worker, in order of the specs: `row[REQUESTS] += 1`."""
        start = worker * len(self.specs)
        return self._cells[start : start + len(self.specs)]

    def totals(self) -> dict[str, int]:
        """Each counter summed over the workers; labelled ones as `name{label="value"}`."""
        return {_title(spec): self.total(index) for index, spec in enumerate(self.specs)}

    def total(self, index: int) -> int:
        """One counter summed over the workers."""
        width = len(self.specs)
        return sum(self._cells[worker * width + index] for worker in range(self.rows))


class SharedCountersCollector(Collector):
    """Shows SharedCounters to Prometheus."""

    def __init__(self, counters: SharedCounters) -> None:
        self._counters = counters

    def collect(self) -> Iterable[Metric]:
        families: dict[str, CounterMetricFamily] = {}
        for index, spec in enumerate(self._counters.specs):
            labels = spec.labels or {}
            family = families.setdefault(
                spec.name,
                CounterMetricFamily(
                    spec.name.removesuffix("_total"), spec.sentence, labels=tuple(labels)
                ),
            )
            family.add_metric(tuple(labels.values()), self._counters.total(index))
        return families.values()


def index_of(specs: Sequence[CounterSpec], name: str, **labels: str) -> int:
    """Where a counter stands in a row. Raises KeyError for one that was not declared."""
    for index, spec in enumerate(specs):
        if spec.name == name and dict(spec.labels or {}) == labels:
            return index
    raise KeyError(f"no counter {name} {labels}")


def _title(spec: CounterSpec) -> str:
    pairs = ",".join(f'{key}="{value}"' for key, value in (spec.labels or {}).items())
    return f"{spec.name}{{{pairs}}}" if pairs else spec.name


Health = Callable[[], tuple[bool, Mapping[str, object]]]


def admin_routes(registry: CollectorRegistry, health: Health) -> list[web.RouteDef]:
    """`/metrics` for Prometheus and `/healthz`: 200 or 503 with a JSON body that says why."""

    async def metrics(_: web.Request) -> web.Response:
        return web.Response(
            body=generate_latest(registry), headers={"Content-Type": CONTENT_TYPE_PLAIN_0_0_4}
        )

    async def healthz(_: web.Request) -> web.Response:
        healthy, facts = health()
        return web.json_response({"healthy": healthy, **facts}, status=200 if healthy else 503)

    return [web.get("/metrics", metrics), web.get("/healthz", healthz)]


@asynccontextmanager
async def serve_admin(
    host: str, port: int, registry: CollectorRegistry, health: Health
) -> AsyncIterator[None]:
    """Serves the admin page while the block runs. Raises OSError where the port is taken."""
    app = web.Application()
    app.add_routes(admin_routes(registry, health))
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port, reuse_address=True).start()
        yield
    finally:
        await runner.cleanup()


def parse_exposition(text: str) -> Iterator[tuple[str, float]]:
    """Reads a `/metrics` page: (`name{labels}`, value) of every sample."""
    for line in text.splitlines():
        if line and not line.startswith("#"):
            name, _, value = line.rpartition(" ")
            yield name, float(value)
