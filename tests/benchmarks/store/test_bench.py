"""The benchmark's small form: what the product keeps, beside plain peers at equal flash writes."""

from dataclasses import replace

import pytest
from benchmarks.store.plain_peers import PLAIN
from benchmarks.store.replay import Box, Outcome, Peer, Sluice, box_for, gate_for, replay
from benchmarks.store.traces import Trace, Viewing, Web, viewing_trace, web_trace

SMALL = Viewing(days=3, titles=50, sessions_per_day=120)


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
