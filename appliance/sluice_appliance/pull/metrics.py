"""What pulls count in the supervisor, each with a sentence that an operator can act on."""

from sluice_runtime.counters import CounterSpec

_PULL_ASKED = (
    "Blocks that clients missed, by where they were: `memory` and `flash` hold what was pulled before,"
    " `under_way` somebody else's request brings already; of `nowhere` each is one that a source sends."
)
_PULL_BLOCKS = (
    "Blocks that came, by from where: a `source`, this box's `flash`, or what the `fill` has brought so"
    " far."
)
_PULLS_FAILED = (
    "Pulls that came to nothing: `absent` no title has the object, or the control plane cannot be"
    " asked; `unavailable` every source of it failed."
)
_PULLS_REFUSED = (
    "Pulls refused for a bound: `looks` questions to the control plane at a time, `vain_looks` questions for"
    " what no title has (a flood of wrong names), `waiters` responses that wait,"
    " `pressure` players need the box for what it holds, `flash_writes` a disk too slow for what is worth"
    " keeping, `unsaid` a worker that does not listen."
)
_PULL_BOUNDS = ("looks", "vain_looks", "waiters", "pressure", "flash_writes", "unsaid")

PULLS: tuple[CounterSpec, ...] = (
    CounterSpec(
        "sluice_appliance_pull_requests_total",
        "Requests to sources for what clients missed, up to 8 MiB each; steady ones for the same titles,"
        " placement should put them here.",
    ),
    CounterSpec(
        "sluice_appliance_pull_bytes_total",
        "Bytes that came for what clients missed; they are in `sluice_appliance_fill_bytes_total` too.",
    ),
    *(
        CounterSpec("sluice_appliance_pull_blocks_asked_total", _PULL_ASKED, {"found": found})
        for found in ("memory", "flash", "under_way", "nowhere")
    ),
    *(
        CounterSpec("sluice_appliance_pull_blocks_total", _PULL_BLOCKS, {"from": where})
        for where in ("source", "flash", "fill")
    ),
    *(
        CounterSpec("sluice_appliance_pulls_failed_total", _PULLS_FAILED, {"reason": reason})
        for reason in ("absent", "unavailable")
    ),
    *(
        CounterSpec("sluice_appliance_pulls_refused_total", _PULLS_REFUSED, {"bound": bound})
        for bound in _PULL_BOUNDS
    ),
    CounterSpec(
        "sluice_appliance_pull_negative_hits_total",
        "Questions answered from what failed within the last second; many are a flood of wrong names.",
    ),
    CounterSpec(
        "sluice_appliance_pulls_abandoned_total",
        "Pulls ended early because nobody waited for the rest; players that seek cause some.",
    ),
    CounterSpec(
        "sluice_appliance_pull_flash_bytes_total",
        "Bytes of pulled blocks written to flash, which wears it.",
    ),
    CounterSpec(
        "sluice_appliance_pull_flash_errors_total",
        "Pulled blocks that flash did not take or give: it is full or dying.",
    ),
)
