"""What becomes of blocks that are asked for: the laws of the flash cache."""

from collections.abc import Iterable

from hypothesis import given
from hypothesis import strategies as st

from sluice_appliance.store.keeping import FlashCache, Found, Verdict
from sluice_appliance.store.write_budget import WriteBudget

Ask = tuple[str, int, float]

# Few keys, so that they come again; sizes go with keys, as blocks are immutable.
ASKS = st.lists(
    st.tuples(st.integers(0, 40), st.booleans(), st.floats(0, 5_000)), max_size=200
).map(lambda drawn: list(_asks(drawn)))


@given(ASKS)
def test_neither_flash_nor_memory_nor_the_budget_is_ever_beyond_its_bytes(asks: list[Ask]) -> None:
    cache, written = _cache(), []
    for key, size_bytes, now in asks:
        if cache.request(key, size_bytes, now).writes:
            written.append((now, size_bytes))
        assert cache.flash.held_bytes == sum(size for _, size in cache.flash) <= 300
        assert cache.memory.held_bytes <= 60
    for first, (begin, _) in enumerate(written):
        for last in range(first, len(written)):
            total = sum(size for _, size in written[first : last + 1])
            assert total <= 500 + 0.05 * (written[last][0] - begin) + 1e-6


@given(ASKS)
def test_verdicts_alone_tell_what_is_held_and_each_block_goes_once(asks: list[Ask]) -> None:
    cache = _cache()
    flash: set[str] = set()
    memory: set[str] = set()
    for key, size_bytes, now in asks:
        verdict = cache.request(key, size_bytes, now)
        assert (verdict.found is Found.FLASH) == (key in flash)
        assert (verdict.found is Found.MEMORY) == (key in memory)
        if verdict.writes:
            assert len(set(verdict.evicted)) == len(verdict.evicted)
            assert set(verdict.evicted) <= flash
            flash = flash - set(verdict.evicted) | {key}
            memory.discard(key)
        elif verdict.found is Found.NOWHERE:
            memory = (memory | {key}) - set(verdict.dropped)
        assert flash == {each for each, _ in cache.flash}
        assert len(memory) == len(cache.memory)


@given(ASKS)
def test_the_same_requests_give_the_same_verdicts(asks: list[Ask]) -> None:
    assert _told(_cache(), asks) == _told(_cache(), asks)


def test_a_second_request_is_written_from_memory() -> None:
    cache = _cache()
    cache.price.resume(1.5, 0.0)
    assert cache.request("a", 10, 0.0) == Verdict(Found.NOWHERE)
    assert cache.request("a", 10, 1.0) == Verdict(Found.MEMORY, writes=True)
    assert (len(cache.memory), len(cache.flash)) == (0, 1)
    assert cache.request("a", 10, 2.0) == Verdict(Found.FLASH)


def test_a_block_of_a_stretch_that_is_watched_is_written_at_its_first_request() -> None:
    cache = _cache()
    cache.price.resume(2.0, 0.0)
    for _ in range(5):
        for n in range(31):
            cache.request(f"film/{n}.m4s", 1, 0.0)
    assert cache.request("film/31.m4s", 1, 0.0).writes
    assert not cache.request("other/31.m4s", 1, 0.0).writes


def test_a_block_is_written_for_a_viewer_who_is_on_the_way_to_it() -> None:
    cache = _cache()
    cache.price.resume(5.0, 0.0)
    for n in range(5):
        assert not cache.request(f"film/{n}.m4s", 1, float(n)).writes
    cache.price.resume(1.2, 10.0)
    followed = cache.request("film/20.m4s", 1, 10.0)
    alone = cache.request("other/20.m4s", 1, 10.0)
    assert (followed.writes, alone.writes) == (True, False)


def test_memory_keeps_what_a_viewer_is_on_the_way_to_and_lets_go_of_what_nobody_is() -> None:
    cache = _cache()
    cache.price.resume(1e6, 0.0)
    cache.request("film/1.m4s", 20, 0.0)
    cache.request("film/9.m4s", 20, 0.0)
    cache.request("a", 20, 0.0)
    assert cache.request("b", 20, 0.0).dropped == ("film/1.m4s",)
    assert cache.request("c", 20, 0.0).dropped == ("a",)
    assert cache.request("film/9.m4s", 20, 400.0).found is Found.MEMORY


def test_a_scan_writes_over_nothing_that_is_asked_for() -> None:
    cache = _cache()
    for _ in range(4):
        for n in range(30):
            cache.request(f"hot-{n}x", 10, 0.0)
    before = dict(cache.flash)
    assert len(before) == 30
    for n in range(1_000):
        cache.request(f"scan-{n}x", 10, 1.0)
    assert dict(cache.flash) == before


def test_what_no_budget_is_left_for_stays_in_memory() -> None:
    cache = _cache()
    cache.budget.take(500, 0.0)
    cache.request("a", 10, 0.0)
    assert cache.request("a", 10, 0.0) == Verdict(Found.MEMORY)
    assert cache.budget.refused_bytes > 0


def test_a_block_larger_than_the_box_is_passed_through() -> None:
    assert _cache().request("a", 301, 0.0) == Verdict(Found.NOWHERE, dropped=("a",))


def test_a_restart_serves_what_is_on_the_disk_and_goes_on_from_what_was_known() -> None:
    before, after = _cache(), _cache()
    for n in range(60):
        before.request(f"film/{n % 20}.m4s", 10, float(n))
    after.resume(before.remembered(60.0), 60.0)
    assert after.hold(before.flash) == ()
    assert dict(after.flash) == dict(before.flash)
    assert after.budget.left_bytes(60.0) == before.budget.left_bytes(60.0)
    for n in range(20):
        assert after.request(f"film/{n}.m4s", 10, 61.0).found is not Found.MEMORY
        assert after.worth.of(f"film/{n}.m4s", 61.0) > 0


def test_what_a_smaller_tier_has_no_room_for_is_named_to_be_deleted() -> None:
    assert _cache().hold([("a", 200), ("b", 200), ("c", 100), ("a", 200)]) == ("b",)


def test_a_block_that_could_not_be_written_is_not_said_to_be_held() -> None:
    cache = _cache()
    assert cache.request("a", 10, 0.0).writes
    cache.lost("a")
    cache.price.resume(9.0, 0.0)
    assert cache.request("a", 10, 0.0) == Verdict(Found.NOWHERE)
    cache.lost("a")
    assert cache.request("a", 10, 0.0) == Verdict(Found.NOWHERE)
    assert (cache.flash.held_bytes, cache.memory.held_bytes) == (0, 10)


def _cache() -> FlashCache:
    return FlashCache(
        flash_bytes=300,
        memory_bytes=60,
        budget=WriteBudget(0.05, 500.0, 0.0),
        now=0.0,
        remembered_max=1_000,
    )


def _asks(drawn: Iterable[tuple[int, bool, float]]) -> Iterable[Ask]:
    now = 0.0
    for number, in_run, wait_s in drawn:
        now += wait_s
        name = f"film/{number}.m4s" if in_run else f"{number}x"
        yield name, 5 + number * 7 % 60, now


def _told(cache: FlashCache, asks: list[Ask]) -> list[Verdict]:
    return [cache.request(*each) for each in asks]
