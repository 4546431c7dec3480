"""What the origin counts, and what an operator can make of it."""

from prometheus_client import CollectorRegistry, Counter


class OriginMetrics:
    def __init__(self, registry: CollectorRegistry) -> None:
        self.requests = Counter(
            "sluice_origin_requests",
            "Requests answered, by status; 404 says that someone asks for what is not published.",
            ["status"],
            registry=registry,
        )
        self.sent_bytes = Counter(
            "sluice_origin_sent_bytes",
            "Body bytes sent; more than a few times a title's size means that peers do not share.",
            registry=registry,
        )
        self.refused = Counter(
            "sluice_origin_refused",
            "Requests refused with 503 because too many were under way: fills come too many at once.",
            registry=registry,
        )
        self.broken_off = Counter(
            "sluice_origin_broken_off",
            "Answers that the client left before the end; fills resume, so a few are no harm.",
            registry=registry,
        )
