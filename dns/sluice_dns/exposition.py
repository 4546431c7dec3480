"""What `/metrics` shows: the workers' counters and the map that is served."""

from collections.abc import Callable, Iterable

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from sluice_dns.metrics import MAP_COMPILE_TIME, MAP_REVISION
from sluice_dns.steering_map import MapView
from sluice_runtime.counters import SharedCounters
from sluice_runtime.metrics import SharedCountersCollector


class _MapCollector(Collector):
    def __init__(self, view: Callable[[], MapView | None]) -> None:
        self._view = view

    def collect(self) -> Iterable[Metric]:
        view = self._view()
        revision = GaugeMetricFamily(*MAP_REVISION)
        revision.add_metric((), view.revision if view else 0)
        compiled = GaugeMetricFamily(*MAP_COMPILE_TIME)
        compiled.add_metric((), view.compile_time_s if view else 0)
        return (revision, compiled)


def registry(counters: SharedCounters, view: Callable[[], MapView | None]) -> CollectorRegistry:
    """The counters of every worker and the gauges of the map."""
    made = CollectorRegistry(auto_describe=False)
    made.register(SharedCountersCollector(counters))
    made.register(_MapCollector(view))
    return made
