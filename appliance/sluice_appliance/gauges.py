"""The values that go up and down, each with a sentence that an operator can act on, shown to Prometheus."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from sluice_appliance.store.disks import DiskState, DiskStatus


@dataclass(frozen=True, slots=True)
class GaugeSpec:
    """A value that goes up and down."""

    name: str
    sentence: str


STORED_BYTES = GaugeSpec(
    "sluice_appliance_stored_bytes",
    "Bytes of objects in the store, wanted or not; absent until the store has been looked over.",
)
WANTED_BYTES = GaugeSpec(
    "sluice_appliance_fill_wanted_bytes", "Bytes that the manifest in force asks for."
)
HELD_BYTES = GaugeSpec(
    "sluice_appliance_fill_held_bytes",
    "Of those, bytes that are held; standing still below wanted, look at the source faults.",
)
FILL_ROI = GaugeSpec(
    "sluice_appliance_fill_roi",
    "Bytes sent to players for each byte fetched, smoothed over days; below 1, fill costs the link more"
    " than it saves. Infinite where nothing was fetched.",
)
FILL_POSTPONED = GaugeSpec(
    "sluice_appliance_fill_postponed_titles",
    "Titles that are wanted and wait for a window, a budget, room, or for fill to pay.",
)
PULL_BLOCKS = GaugeSpec(
    "sluice_appliance_pull_memory_blocks",
    "Blocks in memory that were pulled; at the most that `pull_memory_bytes` lets there be, and sources"
    " asked for the same titles, more memory or flash would help.",
)
PULL_REFUSED = GaugeSpec(
    "sluice_appliance_pull_flash_refused_bytes",
    "Bytes since the start that were worth writing to flash and that the day's writes had no room for.",
)
PULL_FORGOTTEN = GaugeSpec(
    "sluice_appliance_pull_forgotten_blocks",
    "Blocks since the start of which it was forgotten how often they were asked for, to make room; far"
    " more than are kept, judgement suffers.",
)
GAUGES = (
    *(STORED_BYTES, WANTED_BYTES, HELD_BYTES, FILL_ROI, FILL_POSTPONED),
    *(PULL_BLOCKS, PULL_REFUSED, PULL_FORGOTTEN),
)

# Each with the labels `disk` and `tier`.
DISK_IN_STATE = GaugeSpec(
    "sluice_appliance_disk_in_state",
    "1 for the state a disk is in; `failed` is to be replaced, `read_only` looked at: the log and"
    " `dmesg` say why.",
)
DISK_CAPACITY_BYTES = GaugeSpec(
    "sluice_appliance_disk_capacity_bytes", "What the disk may hold by the configuration."
)
DISK_STORED_BYTES = GaugeSpec(
    "sluice_appliance_disk_stored_bytes",
    "Bytes of objects on the disk; 0 for one that failed, absent until the disk has been looked over.",
)
DISK_ERRORS = GaugeSpec(
    "sluice_appliance_disk_errors",
    "Operations on the disk that failed since the start; growing on a disk in use, it is dying.",
)
DISK_ERRORS_OF_LATE = GaugeSpec(
    "sluice_appliance_disk_errors_of_late",
    "Different objects that failed on the disk within the last hour; at 32 it is left alone as `failed`.",
)
DISK_DISCARDED = GaugeSpec(
    "sluice_appliance_disk_discarded_objects",
    "Damaged files that the quarantine had no room for since the start; look at what is in the disk's"
    " `quarantine/`, replace the disk if it goes on, and empty the folder.",
)


class Gauges(Collector):
    """Shows what `read` says whenever Prometheus asks; None is not shown."""

    def __init__(self, read: Mapping[GaugeSpec, Callable[[], float | None]]) -> None:
        self._read = read

    def collect(self) -> Iterator[Metric]:
        for spec in GAUGES:
            value = self._read[spec]()
            if value is not None:
                yield GaugeMetricFamily(spec.name, spec.sentence, value=value)


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
                if disk.is_counted or spec is not DISK_STORED_BYTES:
                    family.add_metric((disk.name, disk.tier.value), value(disk))
            yield family


def _family(spec: GaugeSpec, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(spec.name, spec.sentence, labels=("disk", "tier", *labels))
