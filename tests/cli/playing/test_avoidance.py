"""The order of attempts after failures."""

from hypothesis import given
from hypothesis import strategies as st

from sluice_cli.playing.avoidance import REMEMBERED_MAX, Avoidance

names = st.lists(st.text("abcdef", min_size=1, max_size=2), unique=True)


def in_order(avoidance: Avoidance, things: list[str], now: float) -> list[str]:
    return avoidance.in_order(things, lambda name: name, now)


def test_what_failed_goes_to_the_back_for_its_time() -> None:
    avoidance = Avoidance(10.0)
    avoidance.failed("a", 100.0)
    assert in_order(avoidance, ["a", "b"], 109.9) == ["b", "a"]
    assert in_order(avoidance, ["a", "b"], 110.0) == ["a", "b"]


def test_what_worked_again_is_forgiven_at_once() -> None:
    avoidance = Avoidance(10.0)
    avoidance.failed("a", 100.0)
    avoidance.worked("a")
    assert in_order(avoidance, ["a", "b"], 100.0) == ["a", "b"]


@given(names, st.sets(st.text("abcdef", min_size=1, max_size=2)))
def test_nothing_is_ever_left_out_and_the_rest_keeps_its_order(
    things: list[str], failed: set[str]
) -> None:
    avoidance = Avoidance(10.0)
    for name in failed:
        avoidance.failed(name, 0.0)

    ordered = in_order(avoidance, things, 1.0)

    assert ordered == [name for name in things if name not in failed] + [
        name for name in things if name in failed
    ]


def test_the_oldest_failure_is_forgotten_when_there_are_too_many() -> None:
    avoidance = Avoidance(10.0)
    for number in range(REMEMBERED_MAX + 1):
        avoidance.failed(str(number), 0.0)
    assert in_order(avoidance, ["1", "0"], 0.0) == ["0", "1"]
