"""Placing is done once for what it stands on, and beside everything else that a control plane does."""

import asyncio
import time
from dataclasses import replace
from pathlib import Path

from sqlalchemy.ext.asyncio import create_async_engine

from sluice.content.v1 import content_pb2
from sluice_control_plane.database import Database
from sluice_control_plane.demand.ledger import DemandLedger
from sluice_control_plane.fleet.appliances import Appliance, FillReport
from sluice_control_plane.metrics import Metrics
from sluice_control_plane.placing import Placing
from sluice_control_plane.truth import Truth

TITLES = 4000


def _truth(titles: int = TITLES) -> Truth:
    fleet = {
        f"a-{n}": Appliance(f"a-{n}", "site-a", "partner-a", 100, False, 1, 0.0, 1.0, FillReport())
        for n in range(4)
    }
    catalog = {
        f"t{n}": content_pb2.Title(
            name=f"titles/t{n}",
            version="v1",
            objects=[content_pb2.MediaObject(key=f"t{n}/v1/x", size_bytes=1000)],
        )
        for n in range(titles)
    }
    return Truth(fleet=fleet, catalog=catalog)


def _placing(state: Path) -> Placing:
    return Placing(
        Database(create_async_engine(f"sqlite+aiosqlite:///{state / 'sluice.db'}")),
        DemandLedger(),
        Metrics(),
        copies_min=2,
        copies_max=4,
        new_release_s=0.0,
        clock=time.time,
    )


def test_reports_of_boxes_place_nothing_anew_and_another_member_does(tmp_path: Path) -> None:
    async def story() -> None:
        placing, truth = _placing(tmp_path), _truth(10)
        placed = await placing.place(truth)
        reported = {
            each: replace(box, report=FillReport(complete_titles=frozenset({"t1/v1"})))
            for each, box in truth.fleet.items()
        }
        assert await placing.place(replace(truth, fleet=reported)) is placed
        fewer = {each: box for each, box in truth.fleet.items() if each != "a-3"}
        anew = await placing.place(replace(truth, fleet=fewer))
        assert sorted(anew) == sorted(fewer)
        assert await placing.place(replace(truth, fleet=fewer, catalog=_truth(9).catalog)) != anew

    asyncio.run(story())


def test_heartbeats_are_answered_while_manifests_are_made(tmp_path: Path) -> None:
    async def story() -> None:
        placing, truth = _placing(tmp_path), _truth()
        turns = 0

        async def beat() -> None:
            nonlocal turns
            while True:
                await asyncio.sleep(0)
                turns += 1

        beating = asyncio.create_task(beat())
        told = await placing.manifests(truth, {})
        beating.cancel()
        assert sum(map(len, told.values())) == 2 * TITLES
        assert turns > 20

    asyncio.run(story())
