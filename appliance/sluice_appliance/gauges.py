"""Shows the gauges of `metrics.py` to Prometheus."""

from collections.abc import Callable, Mapping

from prometheus_client import CollectorRegistry, Gauge

from sluice_appliance.metrics import GAUGES, GaugeSpec


def add_gauges(registry: CollectorRegistry, read: Mapping[GaugeSpec, Callable[[], float]]) -> None:
    """Shows what `read` says whenever Prometheus asks."""
    for spec in GAUGES:
        Gauge(spec.name, spec.sentence, registry=registry).set_function(read[spec])
