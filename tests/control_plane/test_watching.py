"""Watches: the latest value wins, nobody is kept waiting, nobody is kept for ever."""

import pytest

from sluice_control_plane.errors import TooMany
from sluice_control_plane.watching import Published
from sluice_runtime.simulation import simulate


def test_a_slow_watcher_skips_what_is_old_and_sees_the_last() -> None:
    async def story() -> list[str]:
        board: Published[str] = Published()
        board.publish(1, "one")
        seen = []
        async for value in board.watch(0):
            seen.append(value)
            if value == "one":
                board.publish(2, "two")
                board.publish(3, "three")
            else:
                board.close()
        return seen

    assert simulate(story()) == ["one", "three"]


def test_a_watcher_that_has_the_latest_hears_only_of_newer_ones() -> None:
    async def story() -> list[str]:
        board: Published[str] = Published()
        board.publish(7, "seven")
        board.close()
        return [value async for value in board.watch(7)]

    assert simulate(story()) == []


def test_one_watcher_too_many_is_refused_and_those_that_leave_make_room() -> None:
    async def story() -> None:
        counted: list[int] = []
        board: Published[str] = Published(watchers_max=1, on_watchers=counted.append)
        board.publish(1, "one")
        first = board.watch(0)
        assert await anext(first) == "one"
        with pytest.raises(TooMany, match="1 watchers already"):
            await anext(board.watch(0))
        await first.aclose()
        last = board.watch(0)
        assert await anext(last) == "one"
        await last.aclose()
        assert counted == [1, -1, 1, -1]

    simulate(story())
