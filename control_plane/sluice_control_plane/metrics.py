"""The counters and gauges of the control plane."""

from collections.abc import Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from sluice_control_plane.fleet.health import Health

# The kinds of SourceFaultKind, in its order.
FAULT_KINDS = (
    *("unspecified", "unavailable", "stalled", "truncated", "overlong", "digest_mismatch"),
    *("wrong_range", "changed"),
)


class Metrics:
    """All of them, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.heartbeats = Counter(
            "sluice_control_plane_heartbeats_total",
            "Heartbeats taken; where it stands still, no appliance reaches the control plane.",
            registry=self.registry,
        )
        self.appliances = Gauge(
            "sluice_control_plane_appliances",
            "Appliances by health; one that is `down` or long `starting` wants a look.",
            ["health"],
            registry=self.registry,
        )
        self.health_changes = Counter(
            "sluice_control_plane_health_changes_total",
            "Changes of an appliance's health by what it became; many a minute mean a flapping box "
            "or link.",
            ["health"],
            registry=self.registry,
        )
        self.map_revision = Gauge(
            "sluice_control_plane_map_revision",
            "The revision of the steering map; a DNS server with an older one is cut off.",
            registry=self.registry,
        )
        self.maps_published = Counter(
            "sluice_control_plane_maps_published_total",
            "Steering maps that said something new.",
            registry=self.registry,
        )
        self.map_compile_seconds = Histogram(
            "sluice_control_plane_map_compile_seconds",
            "How long compiling a map takes; it delays the day a dead appliance leaves the map.",
            buckets=(0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30),
            registry=self.registry,
        )
        self.manifests_published = Counter(
            "sluice_control_plane_manifests_published_total",
            "Fill manifests that said something new, over all appliances.",
            registry=self.registry,
        )
        self.reconcile_failures = Counter(
            "sluice_control_plane_reconcile_failures_total",
            "Times that publishing failed and is tried again; the log says why, the last map stays.",
            registry=self.registry,
        )
        self.watchers = Gauge(
            "sluice_control_plane_watchers",
            "Open watches by stream; `map` should be as many as DNS servers and gateways.",
            ["stream"],
            registry=self.registry,
        )
        self.enrolments = Counter(
            "sluice_control_plane_enrolments_total",
            "Appliances that got a certificate; one that nobody expected is a token in wrong hands.",
            registry=self.registry,
        )
        self.refused_calls = Counter(
            "sluice_control_plane_refused_calls_total",
            "Refused calls by the reason that the caller heard; INTERNAL is a bug, see the log.",
            ["reason"],
            registry=self.registry,
        )
        self.source_faults = Counter(
            "sluice_control_plane_source_faults_total",
            "Faults of fill sources that appliances report, by kind; `digest_mismatch` means that a "
            "source holds wrong bytes: look at the appliance's log for which.",
            ["kind"],
            registry=self.registry,
        )
        self.failed_disks = Gauge(
            "sluice_control_plane_failed_disks",
            "Disks that appliances report as failed and that nobody replaced; `sluice fleet status` "
            "names them.",
            registry=self.registry,
        )
        self.disk_failures = Counter(
            "sluice_control_plane_disk_failures_total",
            "Disks that failed, each counted and logged once.",
            registry=self.registry,
        )
        self.filled_bytes = Counter(
            "sluice_control_plane_filled_bytes_total",
            "Bytes that an appliance fetched, as it reports them.",
            ["site", "appliance"],
            registry=self.registry,
        )
        self.offloaded_bytes = Counter(
            "sluice_control_plane_offloaded_bytes_total",
            "Bytes that an appliance sent to players, as it reports them.",
            ["site", "appliance"],
            registry=self.registry,
        )
        self.fill_roi = Gauge(
            "sluice_control_plane_fill_roi",
            "Bytes offloaded for each byte filled; where it stays below 1, the box costs the provider "
            "more traffic than it saves.",
            ["site", "appliance"],
            registry=self.registry,
        )
        self.site_fill_roi = Gauge(
            "sluice_control_plane_site_fill_roi",
            "The same for all appliances of a site together.",
            ["site"],
            registry=self.registry,
        )
        self.demand_reports = Counter(
            "sluice_control_plane_demand_reports_total",
            "Reports of what players take, by what became of them; `repeated` ones were counted before.",
            ["outcome"],
            registry=self.registry,
        )
        self.demand_bytes = Counter(
            "sluice_control_plane_demand_bytes_total",
            "Bytes in such reports: of `titles`, by which placement goes; of the `rest`, too many titles "
            "for a report; of `unknown` versions, of titles taken out.",
            ["of"],
            registry=self.registry,
        )
        self.demand_versions_forgotten = Counter(
            "sluice_control_plane_demand_versions_forgotten_total",
            "The least wanted title versions whose demand was forgotten, because a site asks for more "
            "than are remembered.",
            registry=self.registry,
        )
        self.demand_keep_failures = Counter(
            "sluice_control_plane_demand_keep_failures_total",
            "Times that demand could not be written to the database; it is in memory and tried again.",
            registry=self.registry,
        )
        self.more_copies = Gauge(
            "sluice_control_plane_more_copies",
            "Copies of buckets, over all sites, that are held for their demand beyond `copies_per_site`.",
            registry=self.registry,
        )
        self.token_keys_revision = Gauge(
            "sluice_control_plane_token_keys_revision",
            "The revision of the token keys; a box with an older one refuses tokens of newer keys.",
            registry=self.registry,
        )
        self.token_key_failures = Counter(
            "sluice_control_plane_token_key_failures_total",
            "Rotations of the token keys that could not be kept; they are tried every minute and have "
            "days of time.",
            registry=self.registry,
        )
        for health in Health:
            self.appliances.labels(health.value).set(0)
        for stream in ("map", "titles", "manifest", "token_keys", "signing_keys"):
            self.watchers.labels(stream).set(0)
        for outcome in ("counted", "repeated"):
            self.demand_reports.labels(outcome)
        for of in ("titles", "rest", "unknown"):
            self.demand_bytes.labels(of)
        for kind in FAULT_KINDS:
            self.source_faults.labels(kind)

    def show_health(self, counts: Mapping[Health, int]) -> None:
        for health, count in counts.items():
            self.appliances.labels(health.value).set(count)

    def health_moved(self, health: Health) -> None:
        self.health_changes.labels(health.value).inc()

    def refused(self, reason: str) -> None:
        self.refused_calls.labels(reason).inc()
