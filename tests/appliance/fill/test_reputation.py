"""Which sources are left for a time."""

from sluice_appliance.fill.reputation import (
    FORGET_S,
    LEFT_S,
    LEFT_S_MAX,
    OBJECTS,
    RETRY_AFTER_S_MAX,
    SOURCES_MAX,
    Reputation,
)
from sluice_appliance.fill.sources import FaultKind


def lies(reputation: Reputation, now: float, *, objects: int = OBJECTS) -> bool:
    return [
        reputation.faulted("a-2", FaultKind.DIGEST_MISMATCH, f"{now}/{n}", now)
        for n in range(objects)
    ][-1]


def test_a_source_that_has_several_objects_wrong_is_left_for_all_for_a_time() -> None:
    reputation = Reputation()
    assert not lies(reputation, 0.0, objects=OBJECTS - 1)
    assert not reputation.is_left("a-2", 0.0)
    assert reputation.faulted("a-2", FaultKind.WRONG_RANGE, "one more", 1.0)
    assert reputation.is_left("a-2", LEFT_S)
    assert not reputation.is_left("a-2", LEFT_S + 1.0)


def test_one_object_that_is_wrong_for_ever_condemns_nobody() -> None:
    reputation = Reputation()
    for now in range(1000):
        assert not reputation.faulted("a-2", FaultKind.DIGEST_MISMATCH, "film", float(now))


def test_a_source_that_is_slow_or_gone_is_no_liar() -> None:
    reputation = Reputation()
    for n in range(100):
        assert not reputation.faulted("a-2", FaultKind.STALLED, f"{n}", 0.0)
        assert not reputation.faulted("a-2", FaultKind.UNAVAILABLE, f"{n}", 0.0)
    assert len(reputation) == 0


def test_one_that_lies_again_and_again_is_left_for_longer_up_to_a_bound() -> None:
    reputation, now, lengths = Reputation(), 0.0, []
    for _ in range(8):
        assert lies(reputation, now)
        began_at = now
        while reputation.is_left("a-2", now):
            now += 60.0
        lengths.append(now - began_at)
    assert lengths[:3] == [LEFT_S, 2 * LEFT_S, 4 * LEFT_S]
    assert max(lengths) == LEFT_S_MAX


def test_lies_of_long_ago_are_forgotten() -> None:
    reputation = Reputation()
    lies(reputation, 0.0, objects=OBJECTS - 1)
    assert not lies(reputation, FORGET_S + 1.0, objects=OBJECTS - 1)


def test_a_source_that_asks_for_silence_gets_it_but_not_for_ever() -> None:
    reputation = Reputation()
    reputation.asked_for_silence("origin", 1e9, 0.0)
    assert reputation.is_left("origin", RETRY_AFTER_S_MAX - 1)
    assert not reputation.is_left("origin", RETRY_AFTER_S_MAX)


def test_the_table_is_bounded_whoever_lies() -> None:
    reputation = Reputation()
    for n in range(10 * SOURCES_MAX):
        reputation.faulted(f"s-{n}", FaultKind.CHANGED, "film", 0.0)
    assert len(reputation) == SOURCES_MAX
