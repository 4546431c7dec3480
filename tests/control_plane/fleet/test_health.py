"""An appliance comes up slowly and goes down at once."""

from hypothesis import given
from hypothesis import strategies as st

from sluice_control_plane.fleet.health import (
    TRANSITIONS,
    ApplianceHealth,
    Event,
    Health,
    HealthPolicy,
    Heartbeat,
)

POLICY = HealthPolicy(interval_s=2.0, deadline_s=4.0, up_after_heartbeats=2)


def _beat(sequence: int, *, serving: bool = True, incarnation: str = "one") -> Heartbeat:
    return Heartbeat(incarnation, sequence, serving)


def _up() -> ApplianceHealth:
    machine = ApplianceHealth(POLICY)
    machine.receive(_beat(1), 0.0)
    machine.receive(_beat(2), 2.0)
    assert machine.health is Health.UP
    return machine


def test_one_heartbeat_is_not_enough_to_be_named() -> None:
    machine = ApplianceHealth(POLICY)
    assert machine.receive(_beat(1), 0.0)
    assert (machine.health, machine.reason) == (Health.STARTING, "1 of 2 serving heartbeats")


def test_silence_longer_than_the_deadline_takes_it_down_once() -> None:
    machine = _up()
    assert not machine.on_deadline(5.9)
    assert machine.on_deadline(6.0)
    assert machine.health is Health.DOWN
    assert not machine.on_deadline(100.0)


def test_an_appliance_that_cannot_serve_is_down_at_its_own_word() -> None:
    machine = _up()
    assert machine.receive(_beat(3, serving=False), 4.0)
    assert (machine.health, machine.reason) == (Health.DOWN, "says that it cannot serve")


def test_one_that_said_that_it_cannot_serve_and_fell_silent_stays_down_at_its_own_word() -> None:
    machine = _up()
    machine.receive(_beat(3, serving=False), 4.0)
    assert not machine.on_deadline(8.0)
    assert (machine.silent, machine.reason) == (False, "says that it cannot serve")
    machine.receive(_beat(4), 9.0)
    machine.receive(_beat(5), 11.0)
    assert machine.on_deadline(15.0)
    assert machine.silent


def test_a_quick_restart_is_seen_and_has_to_prove_itself_again() -> None:
    machine = _up()
    assert machine.receive(_beat(1, incarnation="two"), 2.5)
    assert machine.reason == "restarted; 1 of 2 serving heartbeats"
    assert machine.receive(_beat(2, incarnation="two"), 4.5)
    assert machine.health is Health.UP


def test_a_heartbeat_that_comes_twice_counts_once() -> None:
    machine = ApplianceHealth(POLICY)
    machine.receive(_beat(1), 0.0)
    assert not machine.receive(_beat(1), 0.1)
    assert machine.health is Health.STARTING


def test_what_was_up_is_believed_over_our_restart_for_a_deadline_and_two_intervals() -> None:
    machine = ApplianceHealth(POLICY)
    machine.restore(Health.UP, "one", 100.0)
    assert machine.health is Health.UP
    assert not machine.on_deadline(107.9)
    assert machine.on_deadline(108.0)


def test_what_was_not_up_before_our_restart_is_not_believed_after_it() -> None:
    machine = ApplianceHealth(POLICY)
    machine.restore(Health.STARTING, "one", 100.0)
    assert machine.health is Health.DOWN


def test_every_state_knows_what_every_event_means_to_it() -> None:
    missing = {(health, event) for health in Health for event in Event} - set(TRANSITIONS)
    # One that was never heard has no deadline.
    assert missing == {(Health.NEVER_SEEN, Event.SILENT)}


@given(
    st.lists(
        st.tuples(st.floats(0.01, 6.0), st.booleans(), st.sampled_from(["one", "two"])), max_size=40
    )
)
def test_up_always_means_enough_serving_heartbeats_of_one_incarnation_and_no_silence(
    beats: list[tuple[float, bool, str]],
) -> None:
    machine, now, streak, last = ApplianceHealth(POLICY), 0.0, 0, ""
    for sequence, (wait_s, serving, incarnation) in enumerate(beats, start=1):
        silent = sequence > 1 and wait_s >= POLICY.deadline_s
        now += wait_s
        machine.on_deadline(now)
        machine.receive(_beat(sequence, serving=serving, incarnation=incarnation), now)
        fresh = silent or incarnation != last
        streak = (1 if fresh else streak + 1) if serving else 0
        last = incarnation
        assert (machine.health is Health.UP) == (streak >= POLICY.up_after_heartbeats)
