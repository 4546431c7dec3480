"""The audit finds what disks lose, takes it out of service, keeps it, and lets it come again."""

import asyncio
import errno
from collections.abc import Callable
from math import inf
from pathlib import Path

import pytest
from appliance.store.damage import BODY, DAMAGE, KEYS, put, put_version_1

from sluice_appliance.metrics import supervisor_counters
from sluice_appliance.object_key import parse_key
from sluice_appliance.store.checking import Finding, Verdict
from sluice_appliance.store.disks import DiskSpec, DiskState, Tier
from sluice_appliance.store.error_window import ERRORS_MAX, WINDOW_S, ErrorWindow
from sluice_appliance.store.layout import ObjectHeader, object_name, object_path
from sluice_appliance.store.quarantine import BYTES_MAX, FILES_MAX, has_room
from sluice_appliance.store.reading import open_object
from sluice_appliance.store.scrubbing import Scrubber
from sluice_appliance.store.store import Store
from sluice_appliance.store.tally import AuditTally
from sluice_appliance.store.threaded import ThreadedStore
from sluice_runtime.counters import SharedCounters, index_of

PASSES = "sluice_appliance_audit_passes_total"


def audited(store: Store, *, resume: bool = False) -> list[Finding]:
    """One pass over the one disk."""
    [disk] = store.disks()
    return [step for step in store.audit(disk.name, resume=resume) if isinstance(step, Finding)]


def verdicts(findings: list[Finding]) -> list[Verdict]:
    return [finding.verdict for finding in findings]


@pytest.mark.parametrize("damage", DAMAGE)
def test_what_is_damaged_is_put_away_as_it_is_and_comes_again(tmp_path: Path, damage: str) -> None:
    with Store.open(tmp_path) as store:
        paths = [put(store, key) for key in KEYS]
        DAMAGE[damage](paths[0])
        evidence = sorted(
            path.read_bytes() for path in paths[0].parent.iterdir() if path not in paths[1:]
        )
        findings = audited(store)
        assert sorted(verdict.value for verdict in verdicts(findings)) == ["damaged"] + 5 * [
            "sound"
        ]
        assert next(found for found in findings if found.verdict is Verdict.DAMAGED).reason
        assert store.held(KEYS[0]) is None
        assert all(store.held(key) for key in KEYS[1:])
        assert [path.read_bytes() for path in (tmp_path / "quarantine").iterdir()] == evidence
        [disk] = store.disks()
        assert (disk.state, disk.errors_of_late) == (DiskState.IN_USE, 1)
        put(store, KEYS[0])
        assert verdicts(audited(store)) == 6 * [Verdict.SOUND]


def test_a_file_of_version_1_is_checked_whole_and_written_anew_with_digests_of_its_blocks(
    tmp_path: Path,
) -> None:
    with Store.open(tmp_path) as store:
        sound, damaged = (put_version_1(tmp_path, key) for key in KEYS[:2])
        DAMAGE["a bit of the first block"](damaged)
        found = {step.path: step.verdict for step in audited(store)}
        assert found == {str(sound): Verdict.UPGRADED, str(damaged): Verdict.DAMAGED}
        with open_object(str(sound)) as there:
            assert (there.version, there.read(0, len(BODY))) == (2, BODY)
        assert verdicts(audited(store)) == [Verdict.SOUND]
        assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == [
            "lock",
            "probe",
        ]


def test_what_replaces_an_old_file_while_it_is_written_anew_stays(tmp_path: Path) -> None:
    with Store.open(tmp_path) as store:
        put_version_1(tmp_path, KEYS[0])
        [disk] = store.disks()
        steps = store.audit(disk.name, resume=False)
        while not (tmp_path / "upgrade").exists():
            next(steps)
        put(store, KEYS[0], b"new")
        findings = [step for step in steps if isinstance(step, Finding)]
        assert verdicts(findings) == [Verdict.GONE]
        header = store.held(KEYS[0])
        assert header is not None
        assert header.size_bytes == 3


def test_what_was_being_written_anew_at_a_power_cut_is_no_longer_there_after_it(
    tmp_path: Path,
) -> None:
    with Store.open(tmp_path) as store:
        put_version_1(tmp_path, KEYS[0])
        [disk] = store.disks()
        steps = store.audit(disk.name)
        while not (tmp_path / "upgrade").exists():
            next(steps)
    with Store.open(tmp_path) as store:
        assert not (tmp_path / "upgrade").exists()
        assert store.held(KEYS[0]) is not None


def test_a_file_of_version_1_stays_what_it_is_where_there_is_no_room_for_it_twice(
    tmp_path: Path,
) -> None:
    with Store.open(tmp_path) as store:
        path = put_version_1(tmp_path, KEYS[0])
        [member] = store._members
        member.has_room_beside = lambda size_bytes, path="": False  # type: ignore[method-assign]
        assert verdicts(audited(store)) == [Verdict.SOUND]
        assert store.held(KEYS[0]) is not None
        assert path.read_bytes().endswith(BODY)


@pytest.mark.parametrize("change", ["deleted", "replaced"])
def test_what_is_let_go_or_replaced_while_it_is_checked_is_left_alone(
    tmp_path: Path, change: str
) -> None:
    with Store.open(tmp_path) as store:
        DAMAGE["a bit of the last byte"](put(store, KEYS[0]))
        [disk] = store.disks()
        steps = store.audit(disk.name, resume=False)
        next(steps)  # what it costs to open
        next(steps)  # the page
        store.delete(KEYS[0])
        if change == "replaced":
            put(store, KEYS[0])
        findings = [step for step in steps if isinstance(step, Finding)]
        assert verdicts(findings) == [Verdict.GONE]
        assert (store.held(KEYS[0]) is not None) == (change == "replaced")
        assert not (tmp_path / "quarantine").exists()


def test_a_damaged_object_on_a_disk_that_cannot_be_written_is_told_and_stays(
    tmp_path: Path,
) -> None:
    with Store.open(tmp_path) as store:
        path = put(store, KEYS[0])
        DAMAGE["a bit of the last byte"](path)
        [member] = store._members
        member.state = DiskState.READ_ONLY
        assert verdicts(audited(store)) == [Verdict.DAMAGED]
        assert path.exists()


def test_a_quarantine_that_is_full_keeps_what_it_has_and_what_is_damaged_is_served_no_more(
    tmp_path: Path,
) -> None:
    root = tmp_path / "store"
    # A fiftieth of it is room for one.
    with Store.open(root, [DiskSpec(root, 60 * len(BODY))]) as store:
        for key in KEYS[:2]:
            DAMAGE["a bit of the first block"](put(store, key))
        assert verdicts(audited(store)) == 2 * [Verdict.DAMAGED]
        assert len(list((root / "quarantine").iterdir())) == 1
        assert store.disks()[0].discarded == 1
        assert all(store.held(key) is None for key in KEYS)


def test_the_quarantine_is_bounded_by_files_by_bytes_and_by_a_share_of_the_disk() -> None:
    disk_bytes = 1000 << 30
    assert has_room(0, 0, 20 << 30, disk_bytes)
    assert not has_room(0, 0, (20 << 30) + 1, disk_bytes)
    assert not has_room(1, 20 << 30, 1, disk_bytes)
    assert has_room(0, BYTES_MAX - 1, 1, 1 << 60)
    assert not has_room(0, BYTES_MAX, 1, 1 << 60)
    assert has_room(FILES_MAX - 1, 0, 1, disk_bytes)
    assert not has_room(FILES_MAX, 0, 1, disk_bytes)


def test_an_object_that_is_damaged_twice_leaves_both_behind(tmp_path: Path) -> None:
    with Store.open(tmp_path) as store:
        for _ in range(2):
            DAMAGE["empty"](put(store, KEYS[0]))
            audited(store)
        assert len(list((tmp_path / "quarantine").iterdir())) == 2


def test_an_audit_that_is_cut_off_goes_on_behind_the_folder_it_had_done(tmp_path: Path) -> None:
    with Store.open(tmp_path) as store:
        paths = sorted(str(put(store, key, b"small")) for key in KEYS)
        [disk] = store.disks()
        seen = []
        for step in store.audit(disk.name):
            if isinstance(step, Finding):
                seen.append(step.path)
                if len(seen) == 4:
                    break
    with Store.open(tmp_path) as store:
        again = [finding.path for finding in audited(store, resume=True)]
        assert seen == paths[:4]
        # The last folder had not been written down.
        assert again == paths[3:]
        assert [finding.path for finding in audited(store, resume=True)] == paths


# --- when a disk is given up ----------------------------------------------------------------------


def test_a_disk_is_given_up_for_many_things_that_fail_and_never_for_one_that_fails_often() -> None:
    window = ErrorWindow()
    assert not any(window.add("the same", now) for now in range(10_000))
    assert window.count(10_000) == 1
    many = ErrorWindow()
    assert [many.add(f"object {number}", number) for number in range(ERRORS_MAX)] == [
        *(ERRORS_MAX - 1) * [False],
        True,
    ]
    slow = ErrorWindow()
    step_s = WINDOW_S / (ERRORS_MAX - 1) + 0.001
    assert not any(slow.add(f"object {number}", number * step_s) for number in range(1000))


def test_a_disk_on_which_too_many_objects_rot_is_left_alone_with_the_reason(tmp_path: Path) -> None:
    keys = [parse_key(f"film/v1/many-{number}.mp4") for number in range(ERRORS_MAX + 5)]
    with Store.open(tmp_path) as store:
        for key in keys:
            DAMAGE["empty"](put(store, key, b"small"))
        assert len(audited(store)) == ERRORS_MAX
        [disk] = store.disks()
        assert disk.state is DiskState.FAILED
        assert disk.reason == f"{ERRORS_MAX} different things failed on it within an hour"
        assert disk.errors == ERRORS_MAX


def test_an_object_that_cannot_be_read_hides_no_other_from_who_looks_over_the_disk(
    tmp_path: Path,
) -> None:
    with Store.open(tmp_path) as store:
        for key in KEYS:
            put(store, key, b"small")
        [member] = store._members
        first = next(store.scan()).key
        bad, read = object_name(first), member.read

        def read_but_one(name: str) -> ObjectHeader | None:
            if name == bad:
                raise OSError(errno.EIO, "the test's disk has a bad sector")
            return read(name)

        member.read = read_but_one  # type: ignore[method-assign]
        for _ in range(2 * ERRORS_MAX):
            assert {header.key for header in store.scan()} == set(KEYS) - {first}
        [disk] = store.disks()
        assert (disk.state, disk.errors_of_late) == (DiskState.IN_USE, 1)
        assert disk.errors == 2 * ERRORS_MAX


# --- the scrubber ---------------------------------------------------------------------------------


class Pace:
    """Lets everything pass, and knows what did."""

    def __init__(self) -> None:
        self.asked: list[int] = []

    def next_send_at(self, size_bytes: int, now: float) -> float:
        self.asked.append(size_bytes)
        return now


class Flash:
    """What may be written, and what was."""

    def __init__(self, left_bytes: float = inf) -> None:
        self.left_bytes = left_bytes
        self.written: list[int] = []

    def flash_left_bytes(self) -> float:
        return self.left_bytes

    def wrote_flash(self, size_bytes: int) -> None:
        self.left_bytes -= size_bytes
        self.written.append(size_bytes)


def scrub_once(
    store: Store, counters: SharedCounters, *, pace: Pace, flash: Flash, lost: Callable[[], None]
) -> None:
    """One pass over every disk."""

    async def scrub() -> None:
        passed = asyncio.Event()

        class Tally(AuditTally):
            def passed(self) -> None:
                super().passed()
                if counters.total(index_of(counters.specs, PASSES)) == len(store.disks()):
                    passed.set()

        scrubber = Scrubber(
            ThreadedStore(store), Tally(counters), pace=lambda now: pace, lost=lost, flash=flash
        )
        async with asyncio.timeout(30), asyncio.TaskGroup() as group:
            running = group.create_task(scrubber.run())
            await passed.wait()
            running.cancel()

    asyncio.run(scrub())


def test_old_files_are_written_anew_out_of_the_budget_of_flash_and_no_further(
    tmp_path: Path,
) -> None:
    flash = Flash(left_bytes=2.5 * len(BODY))
    counters = supervisor_counters()
    disks = [
        DiskSpec(tmp_path / "ssd", 1 << 30, Tier.SSD),
        DiskSpec(tmp_path / "hdd", 1 << 30, Tier.HDD),
    ]
    for disk in disks:
        disk.path.mkdir()
        for key in KEYS[:4]:
            put_version_1(disk.path, key)
    with Store.open(tmp_path / "store", disks) as store:
        scrub_once(store, counters, pace=Pace(), flash=flash, lost=lambda: None)

    def count(verdict: str) -> int:
        name = "sluice_appliance_audit_objects_total"
        return counters.total(index_of(counters.specs, name, verdict=verdict))

    assert flash.written == [len(BODY)] * 2
    # All of the disk that rotates.
    assert (count("upgraded"), count("sound")) == (2 + 4, 2)


def test_the_scrubber_pays_for_what_it_reads_counts_what_it_finds_and_asks_for_what_was_lost(
    tmp_path: Path,
) -> None:
    counters = supervisor_counters()
    pace, lost = Pace(), []

    with Store.open(tmp_path) as store:
        paths = [put(store, key) for key in KEYS]
        DAMAGE["a bit of the last byte"](paths[2])
        scrub_once(store, counters, pace=pace, flash=Flash(), lost=lambda: lost.append("called"))
        assert store.held(KEYS[2]) is None
        assert Path(object_path(str(tmp_path), KEYS[1])).exists()

    def count(name: str, **labels: str) -> int:
        return counters.total(index_of(counters.specs, f"sluice_appliance_audit_{name}", **labels))

    assert lost == ["called"]
    assert count("objects_total", verdict="damaged") == 1
    assert count("objects_total", verdict="sound") == 5
    assert count("passes_total") == 1
    assert count("bytes_total") == sum(pace.asked) > 6 * len(BODY)
    assert max(pace.asked) <= 1 << 20
