"""What the control plane is told of the fill, and when, on simulated time."""

import asyncio
from collections.abc import Awaitable, Callable

from sluice.fill.v1 import fill_pb2
from sluice_appliance.fill.progress import FillProgress
from sluice_appliance.fill.reporter import Faults, FillReporter, ReportUndelivered
from sluice_appliance.fill.sources import FaultKind, Source, SourceKind, fault_to_wire
from sluice_appliance.fill.tally import FillTally
from sluice_appliance.metrics import supervisor_counters
from sluice_runtime.simulation import simulate

PROGRESS = FillProgress(1, (), 0, 1, 0, 10)


class Desk:
    """Where reports arrive, at the simulated times."""

    def __init__(self) -> None:
        self.at: list[float] = []
        self.faults: list[Faults] = []
        self.gone = False
        self.tally = FillTally(supervisor_counters())
        self.reporter = FillReporter(self._send, progress=lambda: PROGRESS, tally=self.tally)

    async def _send(self, progress: FillProgress, faults: Faults) -> None:
        if self.gone:
            raise ReportUndelivered("gone")
        self.at.append(asyncio.get_running_loop().time())
        self.faults.append(dict(faults))

    def live(self, story: Callable[["Desk"], Awaitable[None]]) -> None:
        async def main() -> None:
            async with asyncio.TaskGroup() as group:
                running = group.create_task(self.reporter.run())
                await story(self)
                running.cancel()

        simulate(main())


def test_with_nothing_new_there_is_a_report_every_minute() -> None:
    async def story(desk: Desk) -> None:
        await asyncio.sleep(600.5)
        assert desk.at == [60.0 * minute for minute in range(11)]

    Desk().live(story)


def test_a_thousand_changes_are_told_once_a_second() -> None:
    async def story(desk: Desk) -> None:
        for _ in range(1000):
            desk.reporter.changed()
            await asyncio.sleep(0.01)
        assert 10 <= len(desk.at) <= 11
        assert min(later - at for at, later in zip(desk.at, desk.at[1:], strict=False)) > 0.999

    Desk().live(story)


def test_a_report_that_is_not_taken_is_made_again_with_its_faults() -> None:
    async def story(desk: Desk) -> None:
        desk.gone = True
        desk.tally.source_failed(Source("a-2", SourceKind.PEER, ""), FaultKind.STALLED)
        await asyncio.sleep(100)
        desk.gone = False
        await asyncio.sleep(10)
        assert desk.faults == [{("a-2", FaultKind.STALLED): 1}]

    Desk().live(story)


def test_every_fault_is_reported_under_its_own_name() -> None:
    for kind in FaultKind:
        told = fault_to_wire("origin", kind, 3)
        name = fill_pb2.SourceFaultKind.Name(told.kind)
        assert (name, told.count) == (f"SOURCE_FAULT_KIND_{kind.value.upper()}", 3)
