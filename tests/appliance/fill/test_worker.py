"""The fill worker, hours of it, on simulated time."""

import asyncio
import random
from collections.abc import Awaitable, Callable

from appliance.fill.fakes import FakeControlPlane, FakeDisk, FakeSources, FakeStore
from appliance.fill.signing import VERIFIER, message, signed

from sluice_appliance.fill.bookkeeper import Bookkeeper
from sluice_appliance.fill.manifest import Manifest, open_manifest
from sluice_appliance.fill.pressure import Load
from sluice_appliance.fill.sources import Source, SourceKind
from sluice_appliance.fill.tally import FillTally
from sluice_appliance.fill.worker import FillSettings, FillWorker
from sluice_appliance.metrics import supervisor_counters
from sluice_appliance.store.disks import Tier
from sluice_runtime.simulation import simulate

PEER = Source("a-2", SourceKind.PEER, "http://a-2/")
ORIGIN = Source("origin", SourceKind.ORIGIN, "http://origin/")
FILM = [bytes([number]) * 1000 for number in range(4)]
SHORT = [b"short" * 10]
# A Monday in UTC.
NOON = 1_763_985_600.0


class Rig:
    """A worker and all that it speaks to."""

    def __init__(
        self,
        *,
        piece_s: float = 0.0,
        capacity_bytes: int = 1 << 30,
        stall_s: float = 10.0,
        store: FakeStore | None = None,
    ) -> None:
        self.store = store or FakeStore(FakeDisk("ssd", Tier.SSD, capacity_bytes))
        self.load = Load()
        bodies = {f"film/v1/{n}.mp4": body for n, body in enumerate(FILM)}
        self.sources = FakeSources(
            bodies | {f"short/v1/{n}.mp4": body for n, body in enumerate(SHORT)}, piece_s=piece_s
        )
        self.control_plane = FakeControlPlane([PEER, ORIGIN])
        self.counters = supervisor_counters()
        self.tally = FillTally(self.counters)
        # Seconds that the wall clock is ahead of the loop's.
        self.ahead_s = NOON
        # What players were sent, and what came over the network cards that is not fill.
        self.sent = self.others = 0
        self.books = Bookkeeper(
            None,
            self.tally,
            wall_clock=self.wall,
            received=lambda: self.tally.filled_bytes + self.others,
            sent=lambda: self.sent,
        )
        self.said = 0
        self.worker = FillWorker(
            store=self.store,
            reader=self.sources,
            lister=self.control_plane,
            tally=self.tally,
            books=self.books,
            settings=FillSettings(concurrency=2, stall_s=stall_s),
            rng=random.Random(1),
            on_progress=self._on_progress,
            load=lambda: self.load,
        )

    def wall(self) -> float:
        return asyncio.get_running_loop().time() + self.ahead_s

    def _on_progress(self) -> None:
        self.said += 1

    def complete(self) -> tuple[str, ...]:
        progress = self.worker.progress()
        return () if progress is None else progress.complete_titles

    def live(self, story: Callable[["Rig"], Awaitable[None]]) -> None:
        async def main() -> None:
            async with asyncio.TaskGroup() as group:
                running = group.create_task(self.worker.run())
                await story(self)
                running.cancel()

        simulate(main())


def manifest(revision: int, **titles: list[bytes]) -> Manifest:
    return open_manifest(
        signed(message(revision, titles)),
        verifier=VERIFIER,
        appliance="appliances/a-1",
        held_revision=0,
    )


def test_a_manifest_is_filled_a_few_objects_at_a_time_and_each_is_told() -> None:
    async def story(rig: Rig) -> None:
        rig.worker.want(manifest(1, film=FILM, short=SHORT))
        await asyncio.sleep(1)
        assert rig.complete() == ("film/v1", "short/v1")
        assert rig.store.most_open_partials == 2
        assert rig.said >= 5

    Rig().live(story)


def test_a_new_manifest_goes_on_with_the_fetches_under_way_that_it_still_wants() -> None:
    async def story(rig: Rig) -> None:
        rig.worker.want(manifest(1, film=FILM))
        await asyncio.sleep(5.5)
        rig.worker.want(manifest(2, short=SHORT, film=FILM))
        await asyncio.sleep(60)
        assert rig.complete() == ("film/v1", "short/v1")
        assert sorted(key for _, key, _ in rig.sources.read_from) == [
            *(f"film/v1/{n}.mp4" for n in range(4)),
            "short/v1/0.mp4",
        ]

    Rig(piece_s=1.0).live(story)


def test_what_was_half_there_of_a_title_nobody_wants_any_more_is_thrown_away() -> None:
    async def story(rig: Rig) -> None:
        rig.worker.want(manifest(1, film=FILM))
        await asyncio.sleep(5.5)
        assert rig.store.partials
        rig.worker.want(manifest(2, short=SHORT))
        await asyncio.sleep(60)
        assert rig.store.partials == {}

    Rig(piece_s=1.0).live(story)


def test_a_title_taken_out_of_the_manifest_is_let_go() -> None:
    async def story(rig: Rig) -> None:
        rig.worker.want(manifest(1, film=FILM, short=SHORT))
        await asyncio.sleep(1)
        rig.worker.want(manifest(2, short=SHORT))
        await asyncio.sleep(1)
        assert list(rig.store.objects) == ["short/v1/0.mp4"]
        assert rig.counters.totals()["sluice_appliance_fill_evictions_total"] == len(FILM)

    Rig().live(story)


def test_sources_that_are_down_for_an_hour_are_asked_ever_less_often_and_then_complete_it() -> None:
    async def story(rig: Rig) -> None:
        rig.sources.down = {"a-2", "origin"}
        rig.worker.want(manifest(1, short=SHORT))
        await asyncio.sleep(3600)
        tries = len(rig.sources.read_from) // 2
        assert 100 < tries < 200
        rig.sources.down = set()
        await asyncio.sleep(30)
        assert rig.complete() == ("short/v1",)

    Rig().live(story)


def test_one_object_that_cannot_be_had_does_not_hold_up_the_others() -> None:
    async def story(rig: Rig) -> None:
        rig.sources.bodies["film/v1/1.mp4"] = b"x" * 1000
        rig.worker.want(manifest(1, film=FILM, short=SHORT))
        await asyncio.sleep(2)
        assert rig.complete() == ("short/v1",)
        progress = rig.worker.progress()
        assert progress is not None
        assert (progress.held_objects, progress.wanted_objects) == (4, 5)

    Rig().live(story)


def test_a_control_plane_that_is_gone_does_not_end_a_fill_whose_sources_it_named() -> None:
    async def story(rig: Rig) -> None:
        rig.worker.want(manifest(1, film=FILM))
        await asyncio.sleep(5.5)
        rig.control_plane.gone = True
        await asyncio.sleep(60)
        assert rig.complete() == ("film/v1",)

    Rig(piece_s=1.0).live(story)


def test_without_a_control_plane_from_the_start_the_fill_waits_and_then_goes_on() -> None:
    async def story(rig: Rig) -> None:
        rig.control_plane.gone = True
        rig.worker.want(manifest(1, film=FILM))
        await asyncio.sleep(600)
        assert rig.complete() == ()
        rig.control_plane.gone = False
        await asyncio.sleep(30)
        assert rig.complete() == ("film/v1",)

    Rig().live(story)


def test_a_failing_disk_is_counted_and_tried_again() -> None:
    async def story(rig: Rig) -> None:
        rig.store.failing = True
        rig.worker.want(manifest(1, short=SHORT))
        await asyncio.sleep(20)
        assert rig.counters.totals()["sluice_appliance_fill_disk_errors_total"] > 1
        rig.store.failing = False
        await asyncio.sleep(30)
        assert rig.complete() == ("short/v1",)

    Rig().live(story)


def test_an_object_lost_by_hand_comes_back_by_itself() -> None:
    async def story(rig: Rig) -> None:
        rig.worker.want(manifest(1, film=FILM))
        await asyncio.sleep(1)
        rig.store.objects.clear()
        await asyncio.sleep(90)
        assert rig.complete() == ("film/v1",)
        assert len(rig.store.objects) == len(FILM)

    Rig().live(story)


def test_the_store_never_holds_more_than_its_capacity() -> None:
    async def story(rig: Rig) -> None:
        rig.worker.want(manifest(1, film=FILM))
        await asyncio.sleep(1)
        rig.worker.want(manifest(2, short=SHORT, film=FILM))
        await asyncio.sleep(1)
        assert rig.complete() == ("short/v1",)
        assert (rig.worker.stored_bytes() or 0) <= 4000

    Rig(capacity_bytes=4000).live(story)
