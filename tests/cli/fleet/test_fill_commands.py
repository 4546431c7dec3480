"""Policies, priorities, disks and returns from the desk."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path

from cli.scripted import Desk, desk

from sluice.content.v1 import content_pb2
from sluice.fill.v1 import fill_pb2


def at_desk(state: Path, scene: Callable[[Desk], Awaitable[None]]) -> None:
    async def open_and_run() -> None:
        async with desk(state) as made:
            await scene(made)

    asyncio.run(open_and_run())


def test_a_policy_that_was_set_is_shown_as_it_was_written(tmp_path: Path) -> None:
    async def scene(made: Desk) -> None:
        done = await made.sluice(
            *("fleet", "fill-policy", "set", "site-a", "--window", "02:00-14:00"),
            *("--window", "sat,sun 22:00-06:00", "--zone", "Europe/Madrid", "--rate-mbit", "400"),
            *("--window-gb", "1.5", "--percentile", "95", "--drive-writes", "0.3"),
        )
        assert done.status == 0, done.errors
        policy = made.fleet.policies["sites/site-a"]
        assert [each.start_minute for each in policy.windows] == [120, 1320]
        assert policy.rate_bits_per_s_max == 400_000_000
        shown = await made.sluice("fleet", "fill-policy", "show", "site-a", "--json")
        facts = json.loads(shown.output)
        assert facts["windows"][1] == {"time": "sat,sun 22:00-06:00", "zone": "Europe/Madrid"}
        assert (facts["window_bytes_max"], facts["billed_percentile"]) == (1_500_000_000, 95)
        plain = await made.sluice("fleet", "fill-policy", "show", "site-b")
        assert "at any time" in plain.output
        assert "no limit" in plain.output
        wrong = await made.sluice("fleet", "fill-policy", "set", "site-a", "--window", "at night")
        assert (wrong.status, "02:00-14:00" in wrong.errors) == (2, True)

    at_desk(tmp_path, scene)


def test_status_names_the_disks_that_are_out_and_the_return_on_fill(tmp_path: Path) -> None:
    async def scene(made: Desk) -> None:
        box = made.fleet.boxes["appliances/a-1"]
        box.disks.add(disk="ssd-0", tier=1, state=fill_pb2.DISK_STATE_IN_USE)
        box.disks.add(disk="ssd-1", tier=1, state=fill_pb2.DISK_STATE_FAILED, reason="EIO")
        box.fill.filled_bytes, box.fill.offloaded_bytes = 100, 250
        done = await made.sluice("fleet", "status")
        line = next(line for line in done.output.splitlines() if line.startswith("a-1 "))
        assert "ssd-1 failed (EIO)" in line
        assert "ssd-0" not in line
        assert line.endswith("2.50")
        facts = json.loads((await made.sluice("fleet", "status", "--json")).output)
        assert facts[0]["fill"]["roi"] == 2.5
        assert [disk["state"] for disk in facts[0]["disks"]] == ["in-use", "failed"]
        shown = (await made.sluice("fleet", "show", "a-1")).output
        assert "ssd-1 failed (EIO), ssd" in shown

    at_desk(tmp_path, scene)


def test_a_titles_priority_is_set_by_its_word(tmp_path: Path) -> None:
    async def scene(made: Desk) -> None:
        made.content.titles["titles/film"] = content_pb2.Title(name="titles/film")
        for word, wire in (
            ("emergency", fill_pb2.FILL_PRIORITY_EMERGENCY),
            ("new-release", fill_pb2.FILL_PRIORITY_NEW_RELEASE),
            ("auto", fill_pb2.FILL_PRIORITY_UNSPECIFIED),
        ):
            done = await made.sluice("title", "priority", "film", word, "--json")
            assert json.loads(done.output) == {"title": "film", "priority": word}
            assert made.content.titles["titles/film"].priority == wire
        wrong = await made.sluice("title", "priority", "film", "soon")
        assert wrong.status == 2

    at_desk(tmp_path, scene)
