"""What moves between flash and hard disks."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice_appliance.store.disks import Tier
from sluice_appliance.store.tiering import Move, Placed, TierLimits, plan_moves

FLASH, HARD_DISK = Tier.SSD, Tier.HDD
# Bytes a second for which 100 bytes are asked for ten times a day.
TENFOLD = 1_000 / 86_400.0


def test_what_is_asked_for_most_per_byte_moves_up() -> None:
    moves = plan_moves(
        [_on(HARD_DISK, "hot", TENFOLD), _on(HARD_DISK, "warm", TENFOLD / 2)], _limits(100)
    )
    assert moves.moves == (Move("hot", 100, FLASH),)


def test_the_least_wanted_makes_way_before_what_moves_up() -> None:
    held = [_on(FLASH, "cold", 0.0), _on(FLASH, "warm", TENFOLD), _on(HARD_DISK, "hot", TENFOLD)]
    assert plan_moves(held, _limits(200)).moves == (
        Move("cold", 100, HARD_DISK),
        Move("hot", 100, FLASH),
    )


def test_two_of_like_demand_do_not_change_places() -> None:
    held = [_on(FLASH, "a", TENFOLD), _on(HARD_DISK, "b", TENFOLD * 1.4)]
    assert plan_moves(held, _limits(100)).moves == ()


def test_nothing_moves_up_that_flash_would_serve_less_than_it_is_written() -> None:
    assert plan_moves([_on(HARD_DISK, "rare", TENFOLD / 11)], _limits(100)).moves == ()


def test_what_flash_may_not_be_written_now_waits_and_is_counted() -> None:
    moves = plan_moves([_on(HARD_DISK, "hot", TENFOLD)], _limits(100, flash_write_bytes=99))
    assert (moves.moves, moves.waiting_bytes) == ((), 100)


def test_nothing_leaves_flash_for_what_then_finds_no_room() -> None:
    held = [_on(FLASH, "cold", 0.0), Placed("large", 300, HARD_DISK, TENFOLD * 30)]
    assert plan_moves(held, _limits(200)).moves == ()


def test_a_margin_below_one_is_refused_by_its_number() -> None:
    with pytest.raises(ValueError, match=r"0\.5"):
        TierLimits(1, 1, 1, 1, margin=0.5)


@given(
    st.lists(st.tuples(st.integers(1, 50), st.booleans(), st.floats(0, 1)), max_size=40),
    st.integers(0, 400),
    st.integers(0, 300),
    st.integers(0, 300),
)
def test_after_every_move_all_fits_and_no_budget_is_overdrawn_and_a_second_plan_is_empty(
    drawn: list[tuple[int, bool, float]], spare_bytes: int, flash_writes: int, disk_writes: int
) -> None:
    held = {
        f"o{n}": Placed(f"o{n}", size, FLASH if is_flash else HARD_DISK, demand)
        for n, (size, is_flash, demand) in enumerate(drawn)
    }
    limits = TierLimits(
        _bytes(held, FLASH) + spare_bytes,
        _bytes(held, HARD_DISK) + spare_bytes,
        flash_writes,
        disk_writes,
        horizon_s=100.0,
    )
    plan = plan_moves(list(held.values()), limits)
    assert plan == plan_moves(list(reversed(held.values())), limits)
    for move in plan.moves:
        before = held[move.key]
        assert before.tier is not move.to
        held[move.key] = Placed(move.key, before.size_bytes, move.to, before.demand_bytes_per_s)
        assert _bytes(held, FLASH) <= limits.flash_capacity_bytes
        assert _bytes(held, HARD_DISK) <= limits.hard_disk_capacity_bytes
    assert sum(each.size_bytes for each in plan.moves if each.to is FLASH) <= flash_writes
    assert sum(each.size_bytes for each in plan.moves if each.to is HARD_DISK) <= disk_writes
    moved_down = {each.key for each in plan.moves if each.to is HARD_DISK}
    again = plan_moves(list(held.values()), limits)
    assert not moved_down & {each.key for each in again.moves}


def _on(tier: Tier, key: str, demand_bytes_per_s: float) -> Placed:
    return Placed(key, 100, tier, demand_bytes_per_s)


def _limits(flash_capacity_bytes: int, *, flash_write_bytes: float = 10_000) -> TierLimits:
    return TierLimits(flash_capacity_bytes, 10_000, flash_write_bytes, 10_000)


def _bytes(held: dict[str, Placed], tier: Tier) -> int:
    return sum(each.size_bytes for each in held.values() if each.tier is tier)
