"""What an appliance counts, each with a sentence that an operator can act on.

The serving workers' counters stand in the order of `serving/tally.py`. Workers import this when they
start: it has no room for prometheus_client, which costs a tenth of their start (`gauges.py` has).
"""

from sluice_appliance.pull.metrics import PULLS
from sluice_appliance.serving import tally
from sluice_runtime.counters import CounterSpec, HistogramSpec, SharedCounters, Spec

_RESPONSES = (
    "Responses sent, by class of status; a rising 5xx means this box fails, 4xx its callers."
)
_REFUSED = (
    "Requests and connections refused, by reason; `connections` means the box needs more workers"
    " or fewer clients, `client_connections` that one network opens more than its share, `storage`"
    " that a disk or an object on it cannot be read, `range` that clients ask beyond objects or for"
    " absurdly many parts, `loop` that another CDN is led round in a circle."
)
_TIMEOUTS = (
    "Connections closed for being slow, by what was waited for; `head` in numbers is an attack or a"
    " broken client, `write` a path that carries nothing, `pace` one that trickles while connections"
    " run out."
)

_SHED = (
    "Requests answered 503 because they would have waited for a disk, by what was full; what is in"
    " memory is served on. Steady shedding means that hot objects do not fit the memory."
)
_BODIES = (
    "Responses with a body, by where its first byte was found; `disk` near `memory` means that the"
    " box needs memory or its clients are spread over too many objects."
)
_UNSERVED = (
    "Requests for what the box does not hold that were not served: `absent` no title has it, or nobody"
    " could say; `unavailable` every source of it failed; `busy` the box has enough to pull."
)
# In the order of `serving.tally.PULLS_FAILED`.
_PULL_REASONS = ("absent", "unavailable", "busy")
_READ_BYTES = (
    "Bytes of bodies sent, by where they were found; `disk` bounds the box, `memory` does not."
)
_RECORDS = (
    "Access records, by what became of them: `failed` means that the file cannot be written, `dropped`"
    " that the disk of the log is slower than the requests; `sampled_out` are told of by the weight of"
    " those written."
)
_TOKENS = (
    "Tokens of requests, by whether the worker had verified them before; many `new` ones cost CPU, and"
    " are players that get a token for each request, or a flood."
)
_TOKENS_REFUSED = (
    "Requests answered 403, by what was wrong: `unknown_key` means that keys do not reach this box or"
    " its clock is wrong, as do many `expired` and `not_yet`; `forged` and `wrong_path` are somebody"
    " trying; `unsupported` is a signer that asks what is not kept here, which the log names."
)
# In the order of `serving.tokens.claims.Reason`.
_TOKEN_REASONS = (
    "missing",
    "malformed",
    "unknown_key",
    "forged",
    "expired",
    "not_yet",
    "wrong_path",
    "wrong_host",
    "wrong_issuer",
    "wrong_audience",
    "unsupported",
)

SERVING: tuple[Spec, ...] = (
    CounterSpec(
        "sluice_appliance_connections_total",
        "Connections accepted; against requests it shows how well clients keep them alive.",
    ),
    CounterSpec(
        "sluice_appliance_connections_closed_total",
        "Connections closed for whatever reason; accepted less closed is how many are open now.",
    ),
    CounterSpec(
        "sluice_appliance_requests_total",
        "Requests whose head was read whole; the box's load.",
    ),
    CounterSpec("sluice_appliance_responses_total", _RESPONSES, {"status": "2xx"}),
    CounterSpec("sluice_appliance_responses_total", _RESPONSES, {"status": "3xx"}),
    CounterSpec("sluice_appliance_responses_total", _RESPONSES, {"status": "4xx"}),
    CounterSpec("sluice_appliance_responses_total", _RESPONSES, {"status": "5xx"}),
    CounterSpec(
        "sluice_appliance_body_bytes_total",
        "Bytes of objects handed to the kernel or the TLS layer; its rate is the box's throughput.",
    ),
    CounterSpec(
        "sluice_appliance_absent_objects_total",
        "Requests for objects that this box does not hold; steering sent clients to the wrong box.",
    ),
    CounterSpec(
        "sluice_appliance_broken_off_total",
        "Connections that ended before a response was sent whole; players that seek cause some.",
    ),
    CounterSpec("sluice_appliance_refused_total", _REFUSED, {"reason": "malformed"}),
    CounterSpec("sluice_appliance_refused_total", _REFUSED, {"reason": "head_too_large"}),
    CounterSpec("sluice_appliance_refused_total", _REFUSED, {"reason": "target_too_long"}),
    CounterSpec("sluice_appliance_refused_total", _REFUSED, {"reason": "body_too_large"}),
    CounterSpec("sluice_appliance_refused_total", _REFUSED, {"reason": "connections"}),
    CounterSpec("sluice_appliance_refused_total", _REFUSED, {"reason": "storage"}),
    CounterSpec("sluice_appliance_timeouts_total", _TIMEOUTS, {"waiting_for": "request"}),
    CounterSpec("sluice_appliance_timeouts_total", _TIMEOUTS, {"waiting_for": "head"}),
    CounterSpec("sluice_appliance_timeouts_total", _TIMEOUTS, {"waiting_for": "write"}),
    CounterSpec("sluice_appliance_timeouts_total", _TIMEOUTS, {"waiting_for": "handshake"}),
    CounterSpec("sluice_appliance_timeouts_total", _TIMEOUTS, {"waiting_for": "close"}),
    CounterSpec(
        "sluice_appliance_open_files_total",
        "Objects opened, rather than found open; near requests it means the cache is too small.",
    ),
    CounterSpec(
        "sluice_appliance_tls_handshakes_total",
        "TLS handshakes finished; players that keep connections alive need few.",
    ),
    CounterSpec(
        "sluice_appliance_tls_failures_total",
        "TLS handshakes that failed: an expired certificate, an old client, or noise on the port.",
    ),
    CounterSpec(
        "sluice_appliance_kernel_tls_total",
        "TLS connections that the kernel encrypts; well below the handshakes, the `tls` module is"
        " missing and the box spends more CPU per byte.",
    ),
    CounterSpec(
        "sluice_appliance_accept_failures_total",
        "Connections that the system could not accept, for want of descriptors or memory.",
    ),
    CounterSpec(
        "sluice_appliance_worker_restarts_total",
        "Serving workers that ended by themselves and were replaced; anything but 0 is worth a look"
        " at the log.",
    ),
    HistogramSpec(
        "sluice_appliance_time_to_first_byte_seconds",
        "From a request's head read whole to the first byte of its response taken by the kernel;"
        " above a few milliseconds, the disks or the CPU are behind.",
        tally.TTFB_BOUNDS_US,
        unit=1e-6,
    ),
    CounterSpec(
        "sluice_appliance_send_stalls_total",
        "Times a response waited for its client to take bytes; many are normal, for networks are"
        " slower than memory, and none at all under load means that the box is the slower side.",
    ),
    CounterSpec("sluice_appliance_shed_total", _SHED, {"reason": "disk_busy"}),
    CounterSpec("sluice_appliance_shed_total", _SHED, {"reason": "read_ahead_full"}),
    CounterSpec("sluice_appliance_bodies_total", _BODIES, {"from": "memory"}),
    CounterSpec("sluice_appliance_bodies_total", _BODIES, {"from": "disk"}),
    CounterSpec("sluice_appliance_read_bytes_total", _READ_BYTES, {"from": "memory"}),
    CounterSpec("sluice_appliance_read_bytes_total", _READ_BYTES, {"from": "disk"}),
    CounterSpec(
        "sluice_appliance_read_aheads_total",
        "Pieces of objects brought into memory by the read-ahead threads; their rate is what the"
        " disks are asked for.",
    ),
    CounterSpec(
        "sluice_appliance_read_ahead_bytes_total",
        "Bytes brought into memory by the read-ahead threads; far above the bytes served from disk,"
        " they are evicted before they are sent and the box needs memory.",
    ),
    CounterSpec(
        "sluice_appliance_read_aheads_refused_total",
        "Reads that the read-ahead queue had no room for; the disks are asked for more than they give.",
    ),
    CounterSpec(
        "sluice_appliance_read_aheads_failed_total",
        "Reads that the disk did not give: it is dying, or an object on it is cut short.",
    ),
    CounterSpec(
        "sluice_appliance_memo_hits_total",
        "Requests answered from the memo of the last ones; near the requests, clients ask alike and"
        " the worker is at its cheapest.",
    ),
    CounterSpec("sluice_appliance_access_records_total", _RECORDS, {"outcome": "written"}),
    CounterSpec("sluice_appliance_access_records_total", _RECORDS, {"outcome": "failed"}),
    CounterSpec("sluice_appliance_access_records_total", _RECORDS, {"outcome": "dropped"}),
    CounterSpec("sluice_appliance_access_records_total", _RECORDS, {"outcome": "sampled_out"}),
    CounterSpec(
        "sluice_appliance_cmcd_pairs_dropped_total",
        "Pairs of what players tell of themselves (CMCD) that could not be read or were too large; a"
        " player or a URL signer garbles them.",
    ),
    CounterSpec("sluice_appliance_refused_total", _REFUSED, {"reason": "client_connections"}),
    CounterSpec("sluice_appliance_timeouts_total", _TIMEOUTS, {"waiting_for": "pace"}),
    CounterSpec(
        "sluice_appliance_worker_replacements_total",
        "Workers replaced because they were told to be: a new certificate, a new version.",
    ),
    CounterSpec(
        "sluice_appliance_worker_replacements_failed_total",
        "Replacements given up, the log says why; the workers from before serve on.",
    ),
    CounterSpec("sluice_appliance_tokens_total", _TOKENS, {"found": "verified_before"}),
    CounterSpec("sluice_appliance_tokens_total", _TOKENS, {"found": "new"}),
    CounterSpec(
        "sluice_appliance_token_evictions_total",
        "Verified tokens forgotten to make room; beside many `new` ones, more tokens are in use than a"
        " worker keeps.",
    ),
    *(
        CounterSpec("sluice_appliance_tokens_refused_total", _TOKENS_REFUSED, {"reason": reason})
        for reason in _TOKEN_REASONS
    ),
    CounterSpec(
        "sluice_appliance_popularity_lost_total",
        "Requests that count for no object, because more objects are asked for at a time than there"
        " are slots; placement sees that much less of the demand.",
    ),
    CounterSpec("sluice_appliance_refused_total", _REFUSED, {"reason": "range"}),
    CounterSpec("sluice_appliance_refused_total", _REFUSED, {"reason": "loop"}),
    CounterSpec(
        "sluice_appliance_tls_resumed_total",
        "TLS handshakes that resumed a session; players that come back and resume none cost ten times"
        " the CPU.",
    ),
    CounterSpec("sluice_appliance_timeouts_total", _TIMEOUTS, {"waiting_for": "disk"}),
    CounterSpec(
        "sluice_appliance_faults_total",
        "Connections closed for a fault of the software; the log has the trace, please report it.",
    ),
    CounterSpec(
        "sluice_appliance_token_keys_refused_total",
        "Times the file of token keys could not be used; the keys that were held stay in force.",
    ),
    CounterSpec(
        "sluice_appliance_loop_late_microseconds_total",
        "How late workers looked at their clocks, four times a second; a second of it in a second means"
        " that nothing else is answered either. Fill stands aside long before.",
    ),
    CounterSpec(
        "sluice_appliance_disk_queue_total",
        "Reads that waited for a thread of their worker, added up four times a second; growing all the"
        " time, the disks are asked for more than they give, and fill stands aside.",
    ),
    CounterSpec("sluice_appliance_bodies_total", _BODIES, {"from": "pull"}),
    CounterSpec("sluice_appliance_read_bytes_total", _READ_BYTES, {"from": "pull"}),
    CounterSpec(
        "sluice_appliance_pulled_blocks_total",
        "Blocks that workers were handed of what the box does not hold; each worker that asks has its own.",
    ),
    CounterSpec(
        "sluice_appliance_pulls_broken_total",
        "Responses broken off because what was missing of them could not be had any more: look at the"
        " source faults.",
    ),
    *(
        CounterSpec("sluice_appliance_misses_unserved_total", _UNSERVED, {"reason": reason})
        for reason in _PULL_REASONS
    ),
    CounterSpec(
        "sluice_appliance_spoilt_copies_total",
        "Copies of objects that their disk did not give, or that are not what they should be; each is"
        " checked at once. One now and then is rot, many on one disk are its end.",
    ),
    CounterSpec(
        "sluice_appliance_spoilt_copies_untold_total",
        "Of those, copies of which the worker could not tell, as too many were told of at once; they are"
        " found again by who asks for them, and by the audit.",
    ),
    CounterSpec(
        "sluice_appliance_copies_passed_over_total",
        "Responses and openings that went on from another copy of the object; clients noticed nothing.",
    ),
)


_FILL_OBJECTS = "Objects fetched, verified and published, by kind of source; much from `origin` means that peers do not help."
_FILL_BYTES = "Bytes fetched, by kind of source, those of objects that were thrown away included."
_FAULTS = (
    "Times a source was left for an object, by what was wrong and by kind of source; the log names the"
    " source. Anything but `unavailable` and `stalled` is a broken disk or a hostile box."
)
_REFUSALS = (
    "Manifests not taken, by reason: `signature` is a stranger or a changed signing key, `older` a"
    " control plane restored from an old backup."
)
_KEYS_REFUSED = (
    "Sets of token keys not taken, by reason: `signature` is a stranger or a changed signing key,"
    " `older` a control plane restored from an old backup."
)
_KEYS_REFUSAL_KINDS = ("signature", "malformed", "older")
_SOURCES = ("peer", "site", "origin", "unknown")
_FAULT_KINDS = (
    *("unavailable", "stalled", "truncated", "overlong", "digest_mismatch"),
    *("wrong_range", "changed"),
)
_MOVES = "Objects moved to a tier; many to `ssd` day after day, flash is too small for what is asked for."
_PAUSES = (
    "Times fill stood aside for players, by what showed the pressure; growing all day, the box is too"
    " small for its clients, and fill comes to nothing."
)
_SIGNALS = ("disk_queue", "shed", "loop_lag", "cpu")
_REFUSAL_KINDS = ("signature", "malformed", "other_appliance", "older")

_AUDITED = (
    "Objects that the audit checked, by what it found: `damaged` holds other bytes than it should,"
    " `unreadable` the disk does not give; both are put away and come again. One now and then is rot, many"
    " on one disk are its end. `upgraded` were sound, and of an older layout."
)
_VERDICTS = ("sound", "upgraded", "damaged", "unreadable")

SUPERVISOR: tuple[CounterSpec, ...] = (
    *(
        CounterSpec("sluice_appliance_fill_objects_total", _FILL_OBJECTS, {"source": s})
        for s in _SOURCES
    ),
    *(
        CounterSpec("sluice_appliance_fill_bytes_total", _FILL_BYTES, {"source": s})
        for s in _SOURCES
    ),
    *(
        CounterSpec(
            "sluice_appliance_fill_source_faults_total", _FAULTS, {"kind": kind, "source": s}
        )
        for kind in _FAULT_KINDS
        for s in _SOURCES
    ),
    CounterSpec(
        "sluice_appliance_fill_restarts_total",
        "Objects begun again at byte 0 because bytes of several sources did not make the digest.",
    ),
    CounterSpec(
        "sluice_appliance_fill_objects_unfetched_total",
        "Times every source of an object failed; it is tried again, so look where it keeps growing.",
    ),
    CounterSpec(
        "sluice_appliance_fill_evictions_total",
        "Objects let go because the manifest no longer wants them or there was no room.",
    ),
    CounterSpec(
        "sluice_appliance_fill_sources_left_total",
        "Times a source was left for a while, for all objects, because it had several wrong; the log"
        " names it. Look at its disks, or at who runs it.",
    ),
    *(
        CounterSpec("sluice_appliance_fill_moves_total", _MOVES, {"to": tier})
        for tier in ("ssd", "hdd")
    ),
    *(
        CounterSpec("sluice_appliance_fill_pauses_total", _PAUSES, {"signal": signal})
        for signal in _SIGNALS
    ),
    CounterSpec(
        "sluice_appliance_fill_over_bill_bytes_total",
        "Bytes of emergencies that came where the link had carried what is paid for: they may make the"
        " month's bill dearer.",
    ),
    CounterSpec(
        "sluice_appliance_fill_accounts_lost_total",
        "Times that `fill-accounts.json` could not be read: what was used of budgets is not known, and"
        " they begin anew.",
    ),
    CounterSpec(
        "sluice_appliance_fill_disk_errors_total",
        "Disk operations of the store that failed; the disk is full or dying.",
    ),
    CounterSpec(
        "sluice_appliance_audit_bytes_total",
        "Bytes that the audit took of the disks, 256 KiB for each object opened among them; standing still"
        " for hours, it rests between passes, is set to 0 or its disks failed.",
    ),
    *(
        CounterSpec("sluice_appliance_audit_objects_total", _AUDITED, {"verdict": verdict})
        for verdict in _VERDICTS
    ),
    CounterSpec(
        "sluice_appliance_suspects_dropped_total",
        "Files of which a byte could not be read and which were not checked at once, because too many were"
        " told of; the audit comes to them. Growing, a disk dies faster than it is looked at.",
    ),
    CounterSpec(
        "sluice_appliance_audit_passes_total",
        "Times that the audit has gone over a whole disk; none in a month, raise `audit_bytes_per_s`.",
    ),
    CounterSpec(
        "sluice_appliance_fill_manifests_total",
        "Manifests taken from the control plane; standing still is no fault.",
    ),
    *(
        CounterSpec("sluice_appliance_fill_manifests_refused_total", _REFUSALS, {"reason": reason})
        for reason in _REFUSAL_KINDS
    ),
    CounterSpec(
        "sluice_appliance_fill_reports_failed_total",
        "Fill reports that the control plane did not take; they are made again.",
    ),
    CounterSpec(
        "sluice_appliance_heartbeats_total",
        "Heartbeats that the control plane heard; standing still, it will not send clients here.",
    ),
    CounterSpec(
        "sluice_appliance_heartbeats_failed_total",
        "Heartbeats that it did not hear; growing, the way to the control plane is cut.",
    ),
    CounterSpec(
        "sluice_appliance_enrolments_failed_total",
        "Tries to enrol that failed; the log says whether the way or the token is wrong.",
    ),
    CounterSpec(
        "sluice_appliance_demand_reports_total",
        "Reports of what players take that the control plane took; standing still while bytes go out,"
        " placement does not hear of this box.",
    ),
    CounterSpec(
        "sluice_appliance_demand_reports_failed_total",
        "Such reports that it did not take; they are sent again and lose nothing.",
    ),
    CounterSpec(
        "sluice_appliance_token_key_sets_total",
        "Sets of token keys taken from the control plane; standing still for days is no fault.",
    ),
    *(
        CounterSpec(
            "sluice_appliance_token_key_sets_refused_total", _KEYS_REFUSED, {"reason": reason}
        )
        for reason in _KEYS_REFUSAL_KINDS
    ),
    CounterSpec(
        "sluice_appliance_token_key_sets_unkept_total",
        "Times that the disk did not take the token keys; workers go by the old ones meanwhile.",
    ),
)


def supervisor_counters() -> SharedCounters:
    """What the fill, the agent and the pulls count, in the one process that does all."""
    return SharedCounters(SUPERVISOR + PULLS, rows=1)


def serving_counters(workers: int) -> SharedCounters:
    """The counters of a pool of so many workers: two rows for each, as the one that it replaces works
    beside it for a while, and the last row for the pool itself."""
    return SharedCounters(SERVING, rows=2 * workers + 1)
