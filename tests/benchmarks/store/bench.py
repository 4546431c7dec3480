"""`make bench-store`: what the product keeps, beside libcachesim's policies at equal flash writes.

The policy's constants were chosen on seeds 1 and 7 to 9; seeds 2 to 6, which are what is shown, had no part in
that. Prints each run, then a table for each trace and budget with medians and ranges over the seeds, and writes
JSON and a picture (SVG). Each policy plays in a process of its own, one after the other, on one core; what it
costs is that process's CPU time, the harness included (row `nothing`). Figures other than that do not
depend on the machine.

Where libcachesim is not installed, LRU, SIEVE and S3-FIFO in plain Python stand for its policies. `--quick` plays small
traces in seconds, to see that all of it works; its figures mean little.
"""

import argparse
import gc
import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace
from functools import partial
from importlib.util import find_spec
from itertools import groupby
from pathlib import Path

# Run as a script, not by pytest: the tests' folder is where our packages begin.
sys.path.insert(0, str(Path(__file__).parents[2]))

from benchmarks.store.picture import picture
from benchmarks.store.plain_peers import PLAIN, Lru, S3Fifo, Sieve
from benchmarks.store.replay import (
    OURS,
    Ask,
    Box,
    Gate,
    Outcome,
    Peer,
    Policy,
    Sluice,
    box_for,
    gate_for,
    replay,
)
from benchmarks.store.summary import BOUND, UNBOUNDED, Row, bound, rows, table, verdict
from benchmarks.store.traces import ORDINARY, SMALL, Trace, Viewing, viewing_trace, web_trace

# The bench extra is not installed everywhere.
HAS_PEERS = find_spec("libcachesim") is not None
HELD_OUT_SEEDS = (2, 3, 4, 5, 6)
FLASH_SHARE = 0.1
# Drives are sold for 0.3 (read-intensive), 1 and 3 writes of their capacity a day.
BUDGETS = (0.3, 1.0, 3.0)
ORDINARY_BUDGET = 1.0
WITHOUT_BUDGET = 1e6
NOTHING = "nothing"


Make = Callable[[], Policy]


def main(arguments: Sequence[str] | None = None) -> None:
    options = _options(arguments)
    # LRB's learner takes every core, and waits for each by spinning. Read when libcachesim is imported.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    outcomes: list[Outcome] = []
    for name in options.traces:
        for seed in options.seeds:
            trace = _trace(name, seed, is_quick=options.quick)
            for budget in options.budgets if name == "vod" else (ORDINARY_BUDGET,):
                box = box_for(trace, FLASH_SHARE, budget)
                outcomes.extend(_played(trace, seed, box, options.without))
    done = [one for one in outcomes if one.policy != NOTHING]
    _tell(list(rows(done)), options.picture)
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        told = {"outcomes": [asdict(one) for one in outcomes]}
        options.json.write_text(json.dumps(told, indent=1))


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--picture", type=Path)
    parser.add_argument("--seeds", type=_numbers(int), help="2 to 6; of --quick 2")
    parser.add_argument("--seed", type=_numbers(int), dest="seeds", help="the same")
    parser.add_argument("--traces", type=lambda text: text.split(","), default=("vod", *ORDINARY))
    parser.add_argument(
        "--budgets",
        type=_numbers(float),
        help="drive writes a day, of vod: 0.3, 1, 3; of --quick 1",
    )
    parser.add_argument(
        "--without", type=lambda text: set(text.split(",")), default=set(), help="policies"
    )
    parser.add_argument("--quick", action="store_true", help="small traces, in seconds")
    options = parser.parse_args(arguments)
    options.seeds = options.seeds or HELD_OUT_SEEDS[: 1 if options.quick else None]
    options.budgets = options.budgets or ((ORDINARY_BUDGET,) if options.quick else BUDGETS)
    return options


def _numbers(kind: type[int] | type[float]) -> Callable[[str], list[int] | list[float]]:
    return lambda text: list(map(kind, text.split(",")))


def _trace(name: str, seed: int, *, is_quick: bool) -> Trace:
    if name == "vod":
        return viewing_trace(replace(SMALL if is_quick else Viewing(), seed=seed))
    shape = ORDINARY[name]
    small = replace(shape, requests=20_000, keys=3_000, scan_keys=500)
    return web_trace(name, replace(small if is_quick else shape, seed=seed))


def _played(trace: Trace, seed: int, box: Box, left_out: set[str]) -> Iterator[Outcome]:
    print(
        f"\n{trace.name}, seed {seed}: {len(trace.at):,} requests, {trace.requested_bytes() / 1e9:,.0f} GB,"
        f" for {trace.footprint_bytes() / 1e9:,.0f} GB; flash {box.flash_bytes / 1e9:,.0f} GB, memory"
        f" {box.memory_bytes / 1e9:,.1f} GB, {box.drive_writes_per_day:g} drive writes a day"
    )
    for name, make in _policies(trace, box):
        if name.split(",")[0] in left_out:
            continue
        played = _alone(partial(_play, name, make, trace, box, seed))
        if isinstance(played, str):
            print(f"{name:26} gave no figures: {played}", flush=True)
            continue
        yield played
        print(
            f"{name:26}{played.byte_miss_ratio:9.4f} of bytes{played.object_miss_ratio:9.4f} of objects"
            f"{played.flash_bytes_per_byte_served:9.4f} written{played.cpu_us_per_request:7.2f} us",
            flush=True,
        )


def _play(name: str, make: Make, trace: Trace, box: Box, seed: int) -> Outcome:
    return replay(name, make(), trace, box, seed)


def _policies(trace: Trace, box: Box) -> Iterator[tuple[str, Make]]:
    """Names and how to make each. What takes long plays at one budget, and so does the bound without any, which
    is the same at all."""
    yield OURS, partial(Sluice, trace, box)
    yield NOTHING, lambda: _gated(trace, box, lambda gate: lambda key, size_bytes, now: False)
    for name, ask in _peers(trace, box):
        yield name, partial(_gated, trace, box, ask)
        yield f"{name}, second hit", partial(_gated, trace, box, ask, second_hit=True)
    if not HAS_PEERS:
        return
    from benchmarks.store import peers

    yield BOUND, partial(_gated, trace, box, partial(peers.peer, peers.BELADY, trace, box))
    if box.drive_writes_per_day == ORDINARY_BUDGET:
        free = Box(box.flash_bytes, box.memory_bytes, WITHOUT_BUDGET)
        ask = partial(peers.peer, peers.BELADY, trace, free)
        yield UNBOUNDED, partial(_gated, trace, free, ask)


def _peers(trace: Trace, box: Box) -> Iterator[tuple[str, Callable[[Gate], Ask]]]:
    if not HAS_PEERS:
        for name, plain in PLAIN.items():
            yield name, partial(_plain, plain, box)
        return
    from benchmarks.store import peers

    for known in peers.KNOWN:
        if box.drive_writes_per_day == ORDINARY_BUDGET or not known.is_slow:
            yield known.name, partial(peers.peer, known, trace, box)


def _plain(plain: type[Lru | Sieve | S3Fifo], box: Box, gate: Gate) -> Ask:
    return plain(box.flash_bytes, gate).ask


def _gated(
    trace: Trace, box: Box, ask: Callable[[Gate], Ask], *, second_hit: bool = False
) -> Policy:
    gate = gate_for(trace, box, second_hit=second_hit)
    return Peer(ask(gate), gate, box)


def _alone(play: Callable[[], Outcome]) -> Outcome | str:
    """In a child of its own, which ends without freeing anything. If it gives no figures, why."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        # The trace is no garbage that a policy would have to be looked through for.
        gc.freeze()
        try:
            said = json.dumps(asdict(play()))
        except BaseException as error:
            said = json.dumps(repr(error))
        os.write(writing, said.encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        told = pipe.read()
    _, status = os.waitpid(child, 0)
    if not told:
        return f"its process ended with status {os.waitstatus_to_exitcode(status)}"
    outcome = json.loads(told)
    return outcome if isinstance(outcome, str) else Outcome(**outcome)


def _tell(of_all: Sequence[Row], to: Path | None) -> None:
    for (trace, budget), some in groupby(of_all, lambda row: (row.trace, row.drive_writes_per_day)):
        here = list(some)
        print(f"\n{trace}, {budget:g} drive writes a day\n\n{table(here)}\n")
        print(verdict(here, bound(of_all, trace)))
    if to and of_all:
        to.parent.mkdir(parents=True, exist_ok=True)
        to.write_text(picture([row for row in of_all if row.trace == of_all[0].trace]))


if __name__ == "__main__":
    main()
