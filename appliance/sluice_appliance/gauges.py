"""Shows the gauges of `metrics.py` to Prometheus."""

from collections.abc import Callable, Iterator, Mapping, Sequence

from prometheus_client import CollectorRegistry, Gauge, Metric
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from sluice_appliance.metrics import (
    DISK_CAPACITY_BYTES,
    DISK_DISCARDED,
    DISK_ERRORS,
    DISK_ERRORS_OF_LATE,
    DISK_IN_STATE,
    DISK_STORED_BYTES,
    GAUGES,
    GaugeSpec,
)
from sluice_appliance.store.disks import DiskState, DiskStatus


def add_gauges(registry: CollectorRegistry, read: Mapping[GaugeSpec, Callable[[], float]]) -> None:
    """Shows what `read` says whenever Prometheus asks."""
    for spec in GAUGES:
        Gauge(spec.name, spec.sentence, registry=registry).set_function(read[spec])


class DiskGauges(Collector):
    """How each disk is, whenever Prometheus asks."""

    def __init__(self, disks: Callable[[], Sequence[DiskStatus]]) -> None:
        self._disks = disks

    def collect(self) -> Iterator[Metric]:
        disks = self._disks()
        states = _family(DISK_IN_STATE, "state")
        for disk in disks:
            for state in DiskState:
                labels = (disk.name, disk.tier.value, state.value)
                states.add_metric(labels, float(disk.state is state))
        yield states
        values: tuple[tuple[GaugeSpec, Callable[[DiskStatus], float]], ...] = (
            (DISK_CAPACITY_BYTES, lambda disk: disk.capacity_bytes),
            (DISK_STORED_BYTES, lambda disk: disk.stored_bytes),
            (DISK_ERRORS, lambda disk: disk.errors),
            (DISK_ERRORS_OF_LATE, lambda disk: disk.errors_of_late),
            (DISK_DISCARDED, lambda disk: disk.discarded),
        )
        for spec, value in values:
            family = _family(spec)
            for disk in disks:
                family.add_metric((disk.name, disk.tier.value), value(disk))
            yield family


def _family(spec: GaugeSpec, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(spec.name, spec.sentence, labels=("disk", "tier", *labels))
