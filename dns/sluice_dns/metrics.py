"""Every counter of the server, with what an operator can make of it."""

from typing import TypeAlias

from sluice_dns.protocol import Rcode
from sluice_runtime.counters import CounterSpec, index_of

# What a process counts in: the cells of SPECS, in order.
Row: TypeAlias = "memoryview[int]"

_ANSWERS = "Answers sent. FORMERR and REFUSED come from strangers; SERVFAIL from no map or a fault."
_DROPPED = "Packets not answered at all, by reason: fragments of queries, and answers sent to us."
_MAP_LOADS = (
    "Maps read from the file by this process and its workers; refused ones left the old one."
)
_RECEIVED = "Maps that the control plane sent: written, or refused, or older than what we have."
_STREAMS = "TCP connections: accepted, or closed at once because a cap was reached."

SPECS: tuple[CounterSpec, ...] = (
    CounterSpec("sluice_dns_queries_total", "Packets that came.", {"transport": "udp"}),
    CounterSpec("sluice_dns_queries_total", "Packets that came.", {"transport": "tcp"}),
    *(CounterSpec("sluice_dns_answers_total", _ANSWERS, {"rcode": each.name}) for each in Rcode),
    CounterSpec("sluice_dns_dropped_total", _DROPPED, {"reason": "too_short"}),
    CounterSpec("sluice_dns_dropped_total", _DROPPED, {"reason": "not_a_query"}),
    CounterSpec(
        "sluice_dns_fast_path_total",
        "Answers from memoised bytes; when its share of the answers falls, queries have become odd.",
    ),
    CounterSpec(
        "sluice_dns_client_subnet_total",
        "Queries that said whose client asks (ECS); the others are steered by the resolver's address.",
    ),
    CounterSpec(
        "sluice_dns_nobody_total",
        "Answers without an address because no site of the class can serve the bucket: look at health.",
    ),
    CounterSpec("sluice_dns_truncated_total", "Answers cut to TC=1: the client asks again by TCP."),
    CounterSpec(
        "sluice_dns_send_failed_total",
        "Answers that the kernel would not send: a full queue, or no way back to the asker.",
    ),
    CounterSpec(
        "sluice_dns_faults_total",
        "Queries that an error of ours kept from an answer (SERVFAIL was sent): report the log line.",
    ),
    CounterSpec("sluice_dns_map_loads_total", _MAP_LOADS, {"outcome": "loaded"}),
    CounterSpec("sluice_dns_map_loads_total", _MAP_LOADS, {"outcome": "refused"}),
    CounterSpec("sluice_dns_maps_received_total", _RECEIVED, {"outcome": "written"}),
    CounterSpec("sluice_dns_maps_received_total", _RECEIVED, {"outcome": "refused"}),
    CounterSpec("sluice_dns_maps_received_total", _RECEIVED, {"outcome": "older"}),
    CounterSpec("sluice_dns_maps_received_total", _RECEIVED, {"outcome": "unwritable"}),
    CounterSpec(
        "sluice_dns_watch_breaks_total",
        "How often the control plane was lost; answers go on from the last map.",
    ),
    CounterSpec(
        "sluice_dns_worker_starts_total", "Starts of UDP workers; more than one each is a death."
    ),
    CounterSpec("sluice_dns_connections_total", _STREAMS, {"outcome": "accepted"}),
    CounterSpec("sluice_dns_connections_total", _STREAMS, {"outcome": "refused_total"}),
    CounterSpec("sluice_dns_connections_total", _STREAMS, {"outcome": "refused_address"}),
    CounterSpec(
        "sluice_dns_connections_timed_out_total",
        "TCP connections closed because they were idle, slow to send, or slow to read.",
    ),
)


def _at(name: str, **labels: str) -> int:
    return index_of(SPECS, f"sluice_dns_{name}_total", **labels)


QUERIES_UDP = _at("queries", transport="udp")
QUERIES_TCP = _at("queries", transport="tcp")
ANSWERS = {rcode: _at("answers", rcode=rcode.name) for rcode in Rcode}
DROPPED = {reason: _at("dropped", reason=reason) for reason in ("too_short", "not_a_query")}
FAST_PATH = _at("fast_path")
CLIENT_SUBNET = _at("client_subnet")
NOBODY = _at("nobody")
TRUNCATED = _at("truncated")
SEND_FAILED = _at("send_failed")
FAULTS = _at("faults")
MAP_LOADED = _at("map_loads", outcome="loaded")
MAP_REFUSED = _at("map_loads", outcome="refused")
RECEIVED_WRITTEN = _at("maps_received", outcome="written")
RECEIVED_REFUSED = _at("maps_received", outcome="refused")
RECEIVED_OLDER = _at("maps_received", outcome="older")
RECEIVED_UNWRITABLE = _at("maps_received", outcome="unwritable")
WATCH_BREAKS = _at("watch_breaks")
WORKER_STARTS = _at("worker_starts")
CONNECTIONS_ACCEPTED = _at("connections", outcome="accepted")
CONNECTIONS_REFUSED_TOTAL = _at("connections", outcome="refused_total")
CONNECTIONS_REFUSED_ADDRESS = _at("connections", outcome="refused_address")
CONNECTIONS_TIMED_OUT = _at("connections_timed_out")


# The gauges of the map that is served, each with its sentence.
MAP_REVISION = (
    "sluice_dns_map_revision",
    "Revision of the map that is served; 0 before the first.",
)
MAP_COMPILE_TIME = (
    "sluice_dns_map_compile_time_seconds",
    "When that map was compiled (Unix time); its age says how long the control plane is gone.",
)
