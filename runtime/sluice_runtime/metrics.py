"""Metrics: the page that shows Prometheus what a program counts, and whether it is well."""

from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager

from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.registry import Collector

from sluice_runtime.counters import HistogramSpec, SharedCounters, Spec, placed


class SharedCountersCollector(Collector):
    """Shows SharedCounters to Prometheus."""

    def __init__(self, counters: SharedCounters) -> None:
        self._counters = counters

    def collect(self) -> Iterable[Metric]:
        families: dict[str, Metric] = {}
        for cell, spec in placed(self._counters.specs):
            family = families.setdefault(spec.name, _family(spec))
            labels = tuple((spec.labels or {}).values())
            if isinstance(family, CounterMetricFamily):
                family.add_metric(labels, self._counters.total(cell))
            elif isinstance(family, HistogramMetricFamily) and isinstance(spec, HistogramSpec):
                seen = self._counters.observations(spec, cell)
                buckets = [(f"{bound:g}", count) for bound, count in seen.at_most]
                family.add_metric(labels, [*buckets, ("+Inf", seen.count)], seen.sum)
        return families.values()


def _family(spec: Spec) -> CounterMetricFamily | HistogramMetricFamily:
    labels = tuple(spec.labels or {})
    if isinstance(spec, HistogramSpec):
        return HistogramMetricFamily(spec.name, spec.sentence, labels=labels)
    return CounterMetricFamily(spec.name.removesuffix("_total"), spec.sentence, labels=labels)


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
    host: str,
    port: int,
    registry: CollectorRegistry,
    health: Health,
    *,
    routes: Sequence[web.RouteDef] = (),
) -> AsyncIterator[None]:
    """Serves the admin page while the block runs, with `routes` of the program's own. Raises OSError
    where the port is taken."""
    app = web.Application()
    app.add_routes([*admin_routes(registry, health), *routes])
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
