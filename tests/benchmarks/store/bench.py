"""`make bench-store`: what the product keeps, beside libcachesim's policies at equal flash writes.

Prints a table for each trace and budget, and writes JSON and a picture (SVG). Each policy plays in a
process of its own, one after the other; what it costs is that process's CPU time, the harness included
(row `nothing`). Figures other than that do not depend on the machine.
"""

import argparse
import json
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict
from functools import partial
from pathlib import Path

# Run as a script, not by pytest: the tests' folder is where our packages begin.
sys.path.insert(0, str(Path(__file__).parents[2]))

from benchmarks.store.peers import KNOWN, Known, peer
from benchmarks.store.picture import picture
from benchmarks.store.replay import Box, Outcome, Peer, Policy, Sluice, box_for, gate_for, replay
from benchmarks.store.traces import ORDINARY, Trace, Viewing, viewing_trace, web_trace

FLASH_SHARE = 0.1
# Drives are sold for 0.3 (read-intensive), 1 and 3 writes of their capacity a day.
BUDGETS = (0.3, 1.0, 3.0)
ORDINARY_BUDGET = 1.0
UNBOUNDED = 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--picture", type=Path)
    parser.add_argument("--traces", default=",".join(("vod", *ORDINARY)))
    parser.add_argument("--budgets", default=",".join(map(str, BUDGETS)), help="of the vod trace")
    parser.add_argument("--without", default="", help="policies to leave out, for a shorter run")
    parser.add_argument("--flash-share", type=float, default=FLASH_SHARE)
    options = parser.parse_args()
    left_out = set(options.without.split(","))
    outcomes: list[Outcome] = []
    for name in options.traces.split(","):
        trace = viewing_trace(Viewing()) if name == "vod" else web_trace(name, ORDINARY[name])
        budgets = map(float, options.budgets.split(",")) if name == "vod" else (ORDINARY_BUDGET,)
        for budget in budgets:
            box = box_for(trace, options.flash_share, budget)
            done = _table(trace, box, left_out)
            outcomes.extend(done)
            if options.picture and done:
                to = options.picture.with_name(f"{options.picture.stem}-{name}-{budget:g}.svg")
                to.parent.mkdir(parents=True, exist_ok=True)
                to.write_text(picture(done, f"{name}, {budget:g} drive writes a day"))
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps({"outcomes": [asdict(each) for each in outcomes]}))


def _table(trace: Trace, box: Box, left_out: set[str]) -> list[Outcome]:
    print(
        f"\n{trace.name}: {len(trace.at):,} requests, {trace.requested_bytes() / 1e9:,.0f} GB, for"
        f" {trace.footprint_bytes() / 1e9:,.0f} GB; flash {box.flash_bytes / 1e9:,.0f} GB, memory"
        f" {box.memory_bytes / 1e9:,.1f} GB, {box.drive_writes_per_day:g} drive writes a day"
    )
    print(f"{'policy':32}{'byte misses':>12}{'objects':>9}{'written':>9}{'us':>7}", flush=True)
    done = []
    for name, make in _policies(trace, box):
        if name.split(",")[0] in left_out:
            continue
        outcome = _alone(name, make, trace, box)
        if outcome is None:
            continue
        done.append(outcome)
        print(
            f"{name:32}{outcome.byte_miss_ratio:12.4f}{outcome.object_miss_ratio:9.4f}"
            f"{outcome.flash_bytes_per_byte_served:9.4f}{outcome.cpu_us_per_request:7.2f}",
            flush=True,
        )
    return [each for each in done if each.policy != "nothing"]


def _policies(trace: Trace, box: Box) -> Iterator[tuple[str, Callable[[], Policy]]]:
    yield "Sluice", partial(Sluice, trace, box)
    yield "nothing", partial(_gated, trace, box, None)
    for known in KNOWN:
        yield known.name, partial(_gated, trace, box, known)
        if known.is_online:
            yield f"{known.name}, second hit", partial(_gated, trace, box, known, second_hit=True)
        else:
            free = Box(box.flash_bytes, box.memory_bytes, UNBOUNDED)
            yield f"{known.name}, writes unbounded", partial(_gated, trace, free, known)


def _gated(trace: Trace, box: Box, known: Known | None, *, second_hit: bool = False) -> Policy:
    gate = gate_for(trace, box, second_hit=second_hit)
    if known is None:
        return Peer(lambda key, size_bytes, now: False, gate, box)
    return Peer(peer(known, trace, box, gate), gate, box)


def _alone(name: str, make: Callable[[], Policy], trace: Trace, box: Box) -> Outcome | None:
    """In a child of its own, which ends without freeing anything. A policy that ends its process is told of."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        try:
            outcome = replay(name, make(), trace, box)
            os.write(writing, json.dumps(asdict(outcome)).encode())
        except BaseException as error:
            print(f"{name}: {error!r}", file=sys.stderr, flush=True)
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        said = pipe.read()
    _, status = os.waitpid(child, 0)
    if not said:
        print(f"{name:32}  ended with status {status}", flush=True)
        return None
    return Outcome(**json.loads(said))


if __name__ == "__main__":
    main()
