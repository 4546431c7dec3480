"""When heartbeats are sent, on simulated time."""

import asyncio

from sluice_appliance.agent.reporter import HeartbeatReporter, HeartbeatUndelivered, Vitals
from sluice_runtime.simulation import simulate


class Hearer:
    """Hears heartbeats after `takes_s`, says `interval_s`, and is gone while `gone`."""

    def __init__(self, *, interval_s: float | None = None, takes_s: float = 0.0) -> None:
        self.interval_s = interval_s
        self.takes_s = takes_s
        self.gone = False
        self.at: list[float] = []
        self.sequences: list[int] = []
        self.found = self.sent = self.failed = 0

    async def beat(self, sequence: int, vitals: Vitals) -> float | None:
        self.at.append(asyncio.get_running_loop().time())
        self.sequences.append(sequence)
        await asyncio.sleep(self.takes_s)
        if self.gone:
            raise HeartbeatUndelivered("gone")
        return self.interval_s

    def on_found(self) -> None:
        self.found += 1

    def on_sent(self) -> None:
        self.sent += 1

    def on_failed(self) -> None:
        self.failed += 1

    async def hear(self, *stretches: tuple[float, bool]) -> HeartbeatReporter:
        """Lives through stretches of (seconds, whether the control plane is gone)."""
        reporter = HeartbeatReporter(
            self,
            vitals=lambda: Vitals(True, 0, 0.0, 0),
            on_found=self.on_found,
            on_sent=self.on_sent,
            on_failed=self.on_failed,
        )
        async with asyncio.TaskGroup() as group:
            life = group.create_task(reporter.run())
            for lasts_s, self.gone in stretches:
                await asyncio.sleep(lasts_s)
            life.cancel()
        return reporter


def test_heartbeats_keep_the_interval_that_they_are_told_however_long_an_answer_takes() -> None:
    hearer = Hearer(interval_s=3.0, takes_s=1.5)
    simulate(hearer.hear((13.0, False)))
    assert hearer.at == [0.0, 3.0, 6.0, 9.0, 12.0]
    assert hearer.sequences == [1, 2, 3, 4, 5]


def test_an_interval_beyond_reason_is_not_obeyed() -> None:
    for said, meant in ((0.0, 2.0), (0.001, 0.2), (86_400.0, 60.0), (None, 2.0)):
        hearer = Hearer(interval_s=said)
        simulate(hearer.hear((130.0, False)))
        assert round(hearer.at[1] - hearer.at[0], 6) == meant, said


def test_a_control_plane_that_comes_back_is_found_once_and_beats_went_on_meanwhile() -> None:
    hearer = Hearer()
    reporter = simulate(hearer.hear((9.0, False), (100.0, True), (9.0, False)))
    assert hearer.found == 2
    assert hearer.failed == 50
    assert reporter.connected
