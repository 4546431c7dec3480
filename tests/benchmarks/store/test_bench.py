"""The benchmark's small form: what the product keeps, beside plain peers at equal flash writes."""

import json
import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest
from benchmarks.store import bench
from benchmarks.store.plain_peers import PLAIN
from benchmarks.store.replay import Box, Outcome, Peer, Sluice, box_for, gate_for, replay
from benchmarks.store.summary import rows, table, verdict
from benchmarks.store.traces import SMALL, Trace, Web, viewing_trace, web_trace


@pytest.fixture(scope="module")
def evening() -> Trace:
    return viewing_trace(SMALL)


def test_a_trace_is_the_same_whenever_it_is_drawn_and_another_by_another_seed() -> None:
    shape = replace(SMALL, days=1)
    assert viewing_trace(shape).at == viewing_trace(shape).at
    assert viewing_trace(shape).at != viewing_trace(replace(shape, seed=2)).at


def test_viewers_watch_in_order_and_most_in_the_evening(evening: Trace) -> None:
    by_hour = [0] * 24
    for when in evening.time_s:
        by_hour[int(when / 3_600) % 24] += 1
    assert sum(by_hour[19:23]) > 4 * sum(by_hour[6:10])
    first = evening.keys[evening.at[0]]
    number = int(first.rpartition("/")[2].removesuffix(".m4s"))
    assert first.replace(f"/{number}.", f"/{number + 1}.") in evening.keys


@pytest.mark.parametrize("drive_writes_per_day", [0.3, 1.0])
def test_no_plain_peer_misses_fewer_bytes_at_equal_flash_writes(
    evening: Trace, drive_writes_per_day: float
) -> None:
    box = box_for(evening, 0.1, drive_writes_per_day)
    ours = replay("Sluice", Sluice(evening, box), evening, box)
    for name in PLAIN:
        for second_hit in (False, True):
            theirs = _plain(name, evening, box, second_hit=second_hit)
            assert ours.byte_miss_ratio < theirs.byte_miss_ratio, theirs


def test_names_that_tell_nothing_are_kept_no_worse_than_by_lru() -> None:
    trace = web_trace("web", Web(requests=20_000, keys=3_000, one_hit_share=0.3))
    box = box_for(trace, 0.1, 1.0)
    ours = replay("Sluice", Sluice(trace, box), trace, box)
    assert ours.byte_miss_ratio < _plain("LRU", trace, box, second_hit=False).byte_miss_ratio


def _plain(name: str, trace: Trace, box: Box, *, second_hit: bool) -> Outcome:
    gate = gate_for(trace, box, second_hit=second_hit)
    return replay(name, Peer(PLAIN[name](box.flash_bytes, gate).ask, gate, box), trace, box)


@pytest.mark.parametrize(("name", "factory"), [("LRU", "LRU"), ("SIEVE", "Sieve")])
def test_plain_peers_are_what_libcachesim_has(evening: Trace, name: str, factory: str) -> None:
    libcachesim = pytest.importorskip("libcachesim", reason="the bench extra is not installed")
    box = box_for(evening, 0.1, 1e6)
    real = getattr(libcachesim, factory)(box.flash_bytes, hashpower=16)
    request = libcachesim.Request()
    request.valid = True
    plain = PLAIN[name](box.flash_bytes, gate_for(evening, box, second_hit=False))
    for when, key in zip(evening.time_s, evening.at, strict=True):
        request.obj_id, request.obj_size = key, evening.size_bytes[key]
        assert plain.ask(key, evening.size_bytes[key], when) == bool(real.get(request))


def test_the_quick_benchmark_plays_traces_and_writes_its_table_and_picture(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    told, drawn = tmp_path / "store.json", tmp_path / "store.svg"
    few = [
        "--traces",
        "vod,one-hit",
        "--seeds",
        "2",
        "--budgets",
        "1",
        "--without",
        "GDSF,W-TinyLFU",
    ]
    bench.main(["--quick", *few, "--json", str(told), "--picture", str(drawn)])
    outcomes = json.loads(told.read_text())["outcomes"]
    assert {one["trace"] for one in outcomes} == {"vod", "one-hit"}
    assert {one["seed"] for one in outcomes} == {2}
    assert drawn.read_text().count("<circle") == drawn.read_text().count("<path") > 5
    said = capsys.readouterr().out
    assert "vod, 1 drive writes a day" in said
    assert "gave no figures" not in said


def test_a_policy_that_ends_its_process_is_told_of_and_the_others_go_on() -> None:
    def ends() -> Outcome:
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError

    def raises() -> Outcome:
        raise ValueError("64 samples")

    assert bench._alone(ends) == "its process ended with status -9"
    assert bench._alone(raises) == "ValueError('64 samples')"


def test_a_table_tells_medians_ranges_and_on_how_many_seeds_ours_misses_less() -> None:
    ours = [_outcome("Sluice", seed, misses) for seed, misses in enumerate((0.4, 0.5, 0.6))]
    theirs = [_outcome("LRU", seed, misses) for seed, misses in enumerate((0.45, 0.49, 0.7))]
    bound = [_outcome("Belady", seed, 0.3) for seed in range(3)]
    of_all = list(rows([*ours, *theirs, *bound]))
    assert [row.policy for row in of_all] == ["Belady", "LRU", "Sluice"]
    assert "| LRU | 0.4900 (0.4500 to 0.7000) " in table(of_all)
    assert table(of_all).splitlines()[3].endswith("| 2 of 3 |")
    assert verdict(of_all) == (
        "Sluice misses 0.5000 of the bytes, the best peer (LRU) 0.4900, Belady 0.3000:"
        " 0.2000 to the bound."
    )


def _outcome(policy: str, seed: int, misses: float) -> Outcome:
    return Outcome(policy, "vod", 1.0, misses, misses, 0.1, 5.0, seed)
