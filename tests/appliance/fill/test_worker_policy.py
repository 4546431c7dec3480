"""The fill worker keeps to its policy, days of it, on simulated time."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC

from appliance.fill.fakes import FakeDisk, FakeStore
from appliance.fill.test_worker import FILM, NOON, ORIGIN, PEER, SHORT, Rig, manifest

from sluice_appliance.fill.manifest import Manifest
from sluice_appliance.fill.policy import FillPolicy, Priority
from sluice_appliance.fill.pressure import Load
from sluice_appliance.fill.windows import FillWindow
from sluice_appliance.store.disks import DiskState, Tier

HOUR_S = 3600.0
# Simulated time begins at NOON, a Monday's 12:00: a window of the next hour, every day.
AT_ONE = FillWindow(13 * 60, 60, zone=UTC)


def under(policy: FillPolicy, wanted: Manifest) -> Manifest:
    return replace(wanted, policy=policy)


def with_priority(wanted: Manifest, priority: Priority) -> Manifest:
    return replace(
        wanted, titles=tuple(replace(title, priority=priority) for title in wanted.titles)
    )


def arrived(rig: Rig) -> int:
    return rig.tally.filled_bytes


def test_nothing_comes_before_the_window_opens_and_all_when_it_does() -> None:
    async def story(rig: Rig) -> None:
        rig.worker.want(under(FillPolicy(windows=(AT_ONE,)), manifest(1, film=FILM)))
        await asyncio.sleep(HOUR_S - 5)
        assert arrived(rig) == 0
        assert rig.worker.postponed_titles == 1
        await asyncio.sleep(60)
        assert rig.complete() == ("film/v1",)

    Rig().live(story)


def test_a_window_that_closes_in_mid_object_stops_it_there_and_the_next_goes_on() -> None:
    windows = tuple(FillWindow(hour * 60 + 10, 10, zone=UTC) for hour in (12, 13))

    async def story(rig: Rig) -> None:
        rig.worker.want(under(FillPolicy(windows=windows), manifest(1, film=FILM)))
        await asyncio.sleep(20 * 60 + 10)
        came = arrived(rig)
        assert 0 < came < 4000
        await asyncio.sleep(45 * 60)
        assert arrived(rig) == came
        assert rig.store.open_partials == 0
        await asyncio.sleep(20 * 60)
        assert rig.complete() == ("film/v1",)
        assert arrived(rig) == 4000
        assert max(start for _, _, start in rig.sources.read_from) > 0

    # Ten pieces of fifty seconds, two objects at a time: a window brings some twenty-two of forty.
    Rig(piece_s=50.0, stall_s=100.0).live(story)


def test_an_emergency_comes_at_once_whatever_the_windows_say() -> None:
    async def story(rig: Rig) -> None:
        wanted = with_priority(manifest(1, short=SHORT), Priority.EMERGENCY)
        rig.worker.want(under(FillPolicy(windows=(AT_ONE,)), wanted))
        await asyncio.sleep(5)
        assert rig.complete() == ("short/v1",)

    Rig().live(story)


def test_an_emergency_does_not_wait_for_the_fetches_under_way() -> None:
    async def story(rig: Rig) -> None:
        film = manifest(1, film=FILM)
        rig.worker.want(film)
        await asyncio.sleep(5.5)
        urgent = with_priority(manifest(2, short=SHORT), Priority.EMERGENCY)
        rig.worker.want(replace(urgent, titles=urgent.titles + film.titles))
        await asyncio.sleep(11)
        assert rig.complete() == ("short/v1",)
        await asyncio.sleep(60)
        assert rig.complete() == ("film/v1", "short/v1")

    Rig(piece_s=1.0).live(story)


def test_a_window_brings_its_bytes_and_no_more_and_the_next_ones_the_rest() -> None:
    windows = tuple(FillWindow(12 * 60 + start, 10, zone=UTC) for start in (0, 10, 20))

    async def story(rig: Rig) -> None:
        policy = FillPolicy(windows=windows, window_bytes_max=1500)
        rig.worker.want(under(policy, manifest(1, film=FILM)))
        await asyncio.sleep(590)
        assert arrived(rig) == 1500
        await asyncio.sleep(600)
        assert arrived(rig) == 3000
        await asyncio.sleep(600)
        assert rig.complete() == ("film/v1",)

    Rig().live(story)


def test_a_clock_that_steps_gives_no_window_twice() -> None:
    async def story(rig: Rig) -> None:
        rig.worker.want(under(FillPolicy(window_bytes_max=1000), manifest(1, film=FILM)))
        await asyncio.sleep(600)
        assert arrived(rig) == 1000
        rig.ahead_s += 24 * HOUR_S
        await asyncio.sleep(600)
        assert arrived(rig) == 2000
        for _ in range(5):
            rig.ahead_s -= 24 * HOUR_S
            await asyncio.sleep(600)
            rig.ahead_s += 24 * HOUR_S
            await asyncio.sleep(600)
        assert arrived(rig) == 2000

    Rig().live(story)


def test_bytes_of_all_sources_together_come_at_the_cap_within_a_twentieth() -> None:
    async def story(rig: Rig) -> None:
        # 4000 bytes at 10 bytes a second.
        rig.worker.want(under(FillPolicy(rate_bits_per_s_max=80), manifest(1, film=FILM)))
        await asyncio.sleep(200)
        assert 0.95 * 2000 <= arrived(rig) <= 1.05 * 2000 + 200
        await asyncio.sleep(210)
        assert rig.complete() == ("film/v1",)

    Rig().live(story)


def test_a_source_with_a_wait_is_asked_when_its_time_has_come() -> None:
    async def story(rig: Rig) -> None:
        rig.control_plane.sources = [replace(ORIGIN, wait_s=300.0)]
        rig.worker.want(manifest(1, film=FILM))
        await asyncio.sleep(290)
        assert rig.sources.read_from == []
        await asyncio.sleep(60)
        assert rig.complete() == ("film/v1",)

    Rig().live(story)


def test_a_peer_that_has_the_title_meanwhile_is_asked_before_the_wait_is_over() -> None:
    async def story(rig: Rig) -> None:
        rig.control_plane.sources = [replace(ORIGIN, wait_s=3000.0)]
        rig.worker.want(manifest(1, film=FILM))
        await asyncio.sleep(100)
        rig.control_plane.sources = [PEER, replace(ORIGIN, wait_s=3000.0)]
        await asyncio.sleep(30)
        assert rig.complete() == ("film/v1",)
        assert {source for source, _, _ in rig.sources.read_from} == {"a-2"}

    Rig().live(story)


def test_fill_stands_aside_while_players_are_in_need_and_goes_on_after() -> None:
    async def story(rig: Rig) -> None:
        rig.worker.want(manifest(1, film=FILM))
        await asyncio.sleep(5.5)
        rig.load = Load(shed=1)
        await asyncio.sleep(5)
        came = arrived(rig)
        await asyncio.sleep(300)
        assert arrived(rig) == came
        pauses = 'sluice_appliance_fill_pauses_total{signal="shed"}'
        assert rig.counters.totals()[pauses] == 1
        rig.load = Load()
        await asyncio.sleep(60)
        assert rig.complete() == ("film/v1",)
        assert not any(
            count for name, count in rig.counters.totals().items() if "source_faults" in name
        )

    Rig(piece_s=1.0).live(story)


def two_disks() -> Sequence[FakeDisk]:
    return FakeDisk("ssd", Tier.SSD, 10_000), FakeDisk("hdd", Tier.HDD, 10_000)


def test_what_a_failed_disk_held_is_fetched_to_another() -> None:
    async def story(rig: Rig) -> None:
        ssd, hdd = rig.store.all_disks
        rig.worker.want(manifest(1, film=FILM))
        await asyncio.sleep(5)
        assert rig.complete() == ("film/v1",)
        (ssd if ssd.objects else hdd).state = DiskState.FAILED
        await asyncio.sleep(5)
        assert rig.complete() == ("film/v1",)
        assert arrived(rig) == 8000

    Rig(store=FakeStore(*two_disks())).live(story)


def test_what_is_asked_for_most_moves_to_flash_and_is_counted_as_written() -> None:
    async def story(rig: Rig) -> None:
        ssd, hdd = rig.store.all_disks
        film = manifest(1, film=FILM)
        rig.worker.want(film)
        await asyncio.sleep(5)
        if not hdd.objects:
            hdd.objects.update(ssd.objects)
            ssd.objects.clear()
        hot = replace(film.titles[0], demand_bytes_per_s=1e6)
        rig.worker.want(replace(film, revision=2, titles=(hot,)))
        await asyncio.sleep(5)
        assert (len(ssd.objects), len(hdd.objects)) == (4, 0)
        assert rig.counters.totals()['sluice_appliance_fill_moves_total{to="ssd"}'] == 4
        assert rig.books.accounts.flash_written(NOON) == 0
        assert sum(rig.books.accounts.flash.values()) >= 4000

    Rig(store=FakeStore(*two_disks())).live(story)


def test_with_every_disk_failed_it_waits_and_lives() -> None:
    async def story(rig: Rig) -> None:
        rig.store.all_disks[0].state = DiskState.FAILED
        rig.worker.want(manifest(1, film=FILM))
        await asyncio.sleep(600)
        assert rig.complete() == ()
        rig.store.all_disks[0].state = DiskState.IN_USE
        await asyncio.sleep(5)
        assert rig.complete() == ("film/v1",)

    Rig().live(story)


def test_a_source_that_lies_about_several_objects_is_left_for_all() -> None:
    async def story(rig: Rig) -> None:
        rig.sources.lying = {"a-2"}
        rig.worker.want(manifest(1, film=FILM, short=SHORT))
        await asyncio.sleep(30)
        assert rig.complete() == ("film/v1", "short/v1")
        assert rig.counters.totals()["sluice_appliance_fill_sources_left_total"] == 1
        asked = [key for source, key, _ in rig.sources.read_from if source == "a-2"]
        assert len(asked) < 5

    Rig().live(story)
