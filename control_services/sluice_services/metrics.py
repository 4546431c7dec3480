"""What the gateway counts, each with a sentence that an operator can act on."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram


class GatewayMetrics:
    """The gateway's counters in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = self._counter(
            "sluice_gateway_requests_total",
            "Requests answered, by route and status; a rising 5xx means the gateway cannot do its work.",
            "route",
            "status",
        )
        self.request_seconds = Histogram(
            "sluice_gateway_request_seconds",
            "From a request's head to its answer, by route; add gateways when its p99 grows.",
            ("route",),
            buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 5.0),
            registry=self.registry,
        )
        self.playbacks = self._counter(
            "sluice_gateway_playbacks_total",
            "Playback requests by outcome; `nobody` means no healthy appliance holds the title.",
            "outcome",
        )
        self.tokens_signed = self._counter(
            "sluice_gateway_tokens_signed_total",
            "Playbacks whose URLs got a token; flat while playbacks grow, the control plane's `tokens`"
            " is off.",
        )
        self.proxy_address_ignored = self._counter(
            "sluice_gateway_client_address_ignored_total",
            "Playback requests that named a viewer without right to; add the proxy to"
            " `trusted_proxies` if it is yours.",
        )
        self.malformed = self._counter(
            "sluice_gateway_malformed_requests_total",
            "Bytes that were not HTTP, answered with 400; numbers mean a broken client or a scan.",
        )
        self.overloaded = self._counter(
            "sluice_gateway_overloaded_total",
            "Requests told 503 because `requests_in_flight_max` were being answered; add gateways.",
        )
        self.timeouts = self._counter(
            "sluice_gateway_timeouts_total",
            "Requests that took longer than `request_timeout_s`; mostly clients that send slowly.",
        )
        self.failures = self._counter(
            "sluice_gateway_failures_total",
            "Requests that ended in an error of ours (500); the log has each. Report it.",
        )
        self.updates = self._counter(
            "sluice_gateway_updates_total",
            "Steering maps and catalogs taken over, by kind; flat means that nothing changes.",
            "kind",
        )
        self.updates_refused = self._counter(
            "sluice_gateway_updates_refused_total",
            "Maps and catalogs not taken over, by kind and reason: `signature` means somebody else's"
            " key, `older` a control plane that went back in time, `malformed` a bug.",
            "kind",
            "reason",
        )
        self.watch_breaks = self._counter(
            "sluice_gateway_watch_breaks_total",
            "Times that a watch of the control plane broke or could not be opened, by kind; it is"
            " opened again, and the gateway answers from what it has.",
            "kind",
        )
        self.known_good_failures = self._counter(
            "sluice_gateway_known_good_failures_total",
            "Last known good files that could not be read or written, by kind; look at the disk of"
            " `state`: without them a restart needs the control plane.",
            "kind",
        )
        self.titles_unusable = self._counter(
            "sluice_gateway_titles_unusable_total",
            "Titles left out of a catalog because the control plane's record is not usable; the log"
            " names them.",
        )
        self.revision = Gauge(
            "sluice_gateway_revision",
            "Revision of the steering map and of the catalog that answers are made from, by kind.",
            ("kind",),
            registry=self.registry,
        )

    def _counter(self, name: str, sentence: str, *labels: str) -> Counter:
        return Counter(name.removesuffix("_total"), sentence, labels, registry=self.registry)
