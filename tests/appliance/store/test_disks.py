"""A store of several disks: folders here, mounted file systems in tests/scenarios."""

import errno
import hashlib
import os
import shutil
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest

from sluice_appliance.gauges import DISK_CAPACITY_BYTES, DISK_STORED_BYTES, DiskGauges
from sluice_appliance.object_key import parse_key
from sluice_appliance.store.disk import RealDisk
from sluice_appliance.store.disks import DiskSpec, DiskState, Tier
from sluice_appliance.store.errors import DiskRefused, StoreInUse
from sluice_appliance.store.layout import ObjectKey, object_path
from sluice_appliance.store.membership import places
from sluice_appliance.store.moving import move
from sluice_appliance.store.store import Store

CAPACITY_BYTES = 1 << 30
KEYS = [parse_key(f"film/v1/{number}.mp4") for number in range(40)]


def specs(root: Path, names: str, tier: Tier = Tier.SSD) -> list[DiskSpec]:
    """Makes the folders."""
    made = [DiskSpec(root / f"disk-{name}", CAPACITY_BYTES, tier) for name in names]
    for spec in made:
        spec.path.mkdir(exist_ok=True)
    return made


def put(store: Store, key: ObjectKey, body: bytes = b"body", tier: Tier | None = None) -> Path:
    partial = store.begin(key, len(body), hashlib.sha256(body).digest(), "video/mp4", tier=tier)
    partial.write(body)
    partial.publish()
    return Path(partial.root)


def put_all(store: Store) -> dict[ObjectKey, Path]:
    return {key: put(store, key) for key in KEYS}


def held(store: Store) -> set[ObjectKey]:
    return {header.key for header in store.scan()}


def states(store: Store) -> list[DiskState]:
    return [disk.state for disk in store.disks()]


def test_objects_are_spread_over_the_disks_and_found_again_after_a_restart(tmp_path: Path) -> None:
    disks = specs(tmp_path, "abc")
    with Store.open(tmp_path / "store", disks) as store:
        on = put_all(store)
    assert set(on.values()) == {spec.path for spec in disks}
    # In another order, and without being told.
    for told in (disks[::-1], ()):
        with Store.open(tmp_path / "store", told) as store:
            assert held(store) == set(KEYS)
            assert all(store.held(key) for key in KEYS)
            assert sum(disk.stored_bytes for disk in store.disks()) == 4 * len(KEYS)


def test_a_disk_that_is_mounted_elsewhere_keeps_its_objects(tmp_path: Path) -> None:
    first, second = specs(tmp_path, "ab")
    with Store.open(tmp_path / "store", [first, second]) as store:
        on = put_all(store)
    elsewhere = DiskSpec(tmp_path / "elsewhere", CAPACITY_BYTES, Tier.SSD)
    first.path.rename(elsewhere.path)
    with Store.open(tmp_path / "store", [second, elsewhere]) as store:
        assert held(store) == set(KEYS)
        # They belong where they are: nothing is put elsewhere a second time.
        again = put_all(store)
    assert [on[key] == first.path for key in KEYS] == [again[key] == elsewhere.path for key in KEYS]


def test_a_disk_that_is_gone_at_the_start_takes_only_its_own_objects(tmp_path: Path) -> None:
    first, second = specs(tmp_path, "ab")
    with Store.open(tmp_path / "store", [first, second]) as store:
        on = put_all(store)
    first.path.rename(tmp_path / "pulled")
    with Store.open(tmp_path / "store", [first, second]) as store:
        assert states(store) == [DiskState.FAILED, DiskState.IN_USE]
        assert store.disks()[0].reason == "no such folder"
        assert held(store) == {key for key in KEYS if on[key] == second.path}
        assert [place.root for place in store.places()] == [str(second.path)]
        assert set(put_all(store).values()) == {second.path}
    assert not first.path.exists()


@pytest.mark.parametrize("is_another", [False, True])
@pytest.mark.parametrize("while_it_runs", [False, True])
def test_a_disk_that_was_not_there_is_taken_in_when_it_comes_and_so_is_another_in_its_place(
    tmp_path: Path, *, while_it_runs: bool, is_another: bool
) -> None:
    first, second = specs(tmp_path, "ab")
    pulled = tmp_path / "pulled"
    with Store.open(tmp_path / "store", [first, second]) as store:
        on = put_all(store)
        before = set(store.places())
        if while_it_runs:
            first.path.rename(pulled)
            assert store.look_at_disks()[0].state is DiskState.FAILED
            _check_comes_back(store, first.path, pulled, on, is_another=is_another)
            assert (set(store.places()) == before) is not is_another
    if not while_it_runs:
        first.path.rename(pulled)
        with Store.open(tmp_path / "store", [first, second]) as store:
            _check_comes_back(store, first.path, pulled, on, is_another=is_another)
    with Store.open(tmp_path / "store", [first, second]) as store:
        assert states(store) == [DiskState.IN_USE, DiskState.IN_USE]


def _check_comes_back(
    store: Store, path: Path, pulled: Path, on: dict[ObjectKey, Path], *, is_another: bool
) -> None:
    assert states(store) == [DiskState.FAILED, DiskState.IN_USE]
    store.look_at_disks()
    assert states(store) == [DiskState.FAILED, DiskState.IN_USE]
    others = {key for key in KEYS if on[key] != path}
    assert held(store) == others
    if is_another:
        path.mkdir()
    else:
        pulled.rename(path)
    store.look_at_disks()
    assert states(store) == [DiskState.IN_USE, DiskState.IN_USE]
    assert held(store) == (others if is_another else set(KEYS))
    assert set(put_all(store).values()) == {Path(disk.name) for disk in store.disks()}
    with pytest.raises(StoreInUse):
        Store.open(path)


def test_a_disk_of_another_store_in_the_place_of_one_that_was_pulled_is_not_touched(
    tmp_path: Path,
) -> None:
    first, second = specs(tmp_path, "ab")
    (foreign,) = specs(tmp_path, "x")
    with Store.open(tmp_path / "other", [foreign]) as other:
        put_all(other)
    with Store.open(tmp_path / "store", [first, second]) as store:
        first.path.rename(tmp_path / "pulled")
        store.look_at_disks()
        foreign.path.rename(first.path)
        for _ in range(2):
            store.look_at_disks()
            assert states(store) == [DiskState.FAILED, DiskState.IN_USE]
            assert "another store" in store.disks()[0].reason
        # A copy of the other disk, identity and all.
        shutil.rmtree(first.path)
        shutil.copytree(second.path, first.path)
        store.look_at_disks()
        assert states(store) == [DiskState.FAILED, DiskState.IN_USE]
        assert "copy" in store.disks()[0].reason


def test_what_a_disk_holds_is_not_said_before_it_was_added_up(tmp_path: Path) -> None:
    with Store.open(tmp_path / "store", specs(tmp_path, "ab")) as store:
        put_all(store)
    with Store.open(tmp_path / "store", specs(tmp_path, "ab")) as store:
        assert not any(disk.is_counted for disk in store.disks())
        shown = {metric.name: metric.samples for metric in DiskGauges(store.disks).collect()}
        assert shown[DISK_STORED_BYTES.name] == []
        assert len(shown[DISK_CAPACITY_BYTES.name]) == 2
        list(store.scan())
        assert all(disk.is_counted for disk in store.disks())
        shown = {metric.name: metric.samples for metric in DiskGauges(store.disks).collect()}
        assert sum(sample.value for sample in shown[DISK_STORED_BYTES.name]) == 4 * len(KEYS)


def test_a_disk_that_fails_while_it_is_used_is_left_alone_and_the_others_serve_on(
    tmp_path: Path,
) -> None:
    disks = specs(tmp_path, "ab")
    broken = str(disks[0].path)

    class OneBreaks(RealDisk):
        breaks = False

        def open_for_writing(self, path: str) -> int:
            if self.breaks and path.startswith(broken):
                raise OSError(errno.EIO, "the test's disk is dead")
            return super().open_for_writing(path)

    disk = OneBreaks()
    with Store.open(tmp_path / "store", disks, disk=disk) as store:
        on = put_all(store)
        mine = [key for key in KEYS if on[key] == disks[0].path]
        disk.breaks = True
        with pytest.raises(OSError, match="dead"):
            put(store, mine[0])
        status = store.disks()[0]
        assert (status.state, status.errors) == (DiskState.FAILED, 1)
        assert status.reason == "the test's disk is dead"
        assert store.held(mine[0]) is None
        assert held(store) == {key for key in KEYS if on[key] == disks[1].path}
        # Refilled, on the disk that is left; the one that failed does not come back by itself.
        disk.breaks = False
        store.look_at_disks()
        assert put(store, mine[0]) == disks[1].path
        assert states(store) == [DiskState.FAILED, DiskState.IN_USE]


def test_one_object_that_cannot_be_read_does_not_take_its_disk_with_it(tmp_path: Path) -> None:
    disks = specs(tmp_path, "ab")
    with Store.open(tmp_path / "store", disks) as store:
        on = put_all(store)
        path = Path(object_path(str(on[KEYS[0]]), KEYS[0]))
        path.unlink()
        path.symlink_to(path)  # ELOOP, as near to EIO as a folder comes
        assert store.held(KEYS[0]) is None
        assert states(store) == [DiskState.IN_USE, DiskState.IN_USE]
        assert sum(disk.errors for disk in store.disks()) == 1


def test_what_stands_on_two_tiers_is_held_until_it_is_let_go_from_both(tmp_path: Path) -> None:
    disks = specs(tmp_path, "a") + specs(tmp_path, "b", Tier.HDD)
    with Store.open(tmp_path / "store", disks) as store:
        assert put(store, KEYS[0], tier=Tier.HDD) == disks[1].path
        assert store.held(KEYS[0], Tier.SSD) is None
        assert put(store, KEYS[0]) == disks[0].path
        store.delete(KEYS[0], Tier.SSD)
        assert store.held(KEYS[0]) is not None
        store.delete(KEYS[0])
        assert store.held(KEYS[0]) is None


def test_another_object_under_the_same_key_replaces_those_on_every_disk(tmp_path: Path) -> None:
    disks = specs(tmp_path, "a") + specs(tmp_path, "b", Tier.HDD)
    with Store.open(tmp_path / "store", disks) as store:
        put(store, KEYS[0], b"old", Tier.SSD)
        put(store, KEYS[0], b"new!", Tier.HDD)
        [header] = store.scan()
        assert header.size_bytes == 4


def test_an_object_moves_between_tiers_and_is_never_held_nowhere(tmp_path: Path) -> None:
    disks = specs(tmp_path, "a") + specs(tmp_path, "b", Tier.HDD)
    body = os.urandom(2_500_000)
    with Store.open(tmp_path / "store", disks) as store:
        put(store, KEYS[0], body, Tier.SSD)
        for to, off in ((Tier.HDD, Tier.SSD), (Tier.HDD, Tier.SSD), (Tier.SSD, Tier.HDD)):
            assert move(store, KEYS[0], to)
            assert store.held(KEYS[0], to) is not None
            assert store.held(KEYS[0], off) is None
        assert not move(store, KEYS[1], Tier.HDD)


def test_an_object_that_is_put_again_takes_its_room_once(tmp_path: Path) -> None:
    with Store.open(tmp_path / "store", specs(tmp_path, "a")) as store:
        for size_bytes in (4, 4, 1000, 4):
            put(store, KEYS[0], bytes(size_bytes))
            assert store.disks()[0].stored_bytes == size_bytes
        put(store, KEYS[1], bytes(500))
        store.delete(KEYS[0])
        assert store.disks()[0].stored_bytes == 500


def test_a_full_disk_is_passed_over_for_one_with_room(tmp_path: Path) -> None:
    disks = [DiskSpec(spec.path, 1000, Tier.SSD) for spec in specs(tmp_path, "abc")]
    with Store.open(tmp_path / "store", disks) as store:
        on = Counter(put(store, key, bytes(101)) for key in KEYS[:27])
        assert on == dict.fromkeys((spec.path for spec in disks), 9)
        with pytest.raises(OSError, match="no disk has room for 101 bytes"):
            put(store, KEYS[30], bytes(101))
        store.delete(KEYS[0])
        put(store, KEYS[30], bytes(101))
        with pytest.raises(OSError, match="no disk of tier hdd has room for 1 bytes") as caught:
            store.begin(KEYS[0], 1, bytes(32), "video/mp4", tier=Tier.HDD)
        assert caught.value.errno == errno.ENOSPC


def test_a_partial_object_goes_on_on_the_disk_where_it_began(tmp_path: Path) -> None:
    disks = specs(tmp_path, "ab")
    body = os.urandom(50_000)
    digest = hashlib.sha256(body).digest()
    with Store.open(tmp_path / "store", disks) as store:
        for key in KEYS[:8]:
            partial = store.begin(key, len(body), digest, "video/mp4")
            partial.write(body[:30_000])
            partial.close()
    # On a disk that comes now, some would begin.
    with Store.open(tmp_path / "store", [*specs(tmp_path, "cdef"), *disks]) as store:
        assert {(header.key, size >= 30_000) for header, size in store.partials()} == {
            (key, True) for key in KEYS[:8]
        }
        for key in KEYS[:8]:
            partial = store.begin(key, len(body), digest, "video/mp4")
            assert partial.received_bytes == 30_000
            partial.write(body[30_000:])
            partial.publish()


Refusal = tuple[Sequence[DiskSpec], str]


def test_a_folder_that_is_no_disk_of_the_store_is_refused_with_the_reason(tmp_path: Path) -> None:
    ours, theirs = specs(tmp_path, "ab")
    absent = DiskSpec(tmp_path / "absent", 1)
    link = DiskSpec(tmp_path / "link", 1)
    link.path.symlink_to(ours.path)
    Store.open(tmp_path / "other", [theirs]).close()
    Store.open(tmp_path / "store", [ours]).close()
    refused: list[Refusal] = [
        ([ours, theirs], "is a disk of another store"),
        ([ours, link], "is the same folder as"),
        ([ours, absent], "no such folder"),
    ]
    for wrong, said in refused:
        with pytest.raises(DiskRefused, match=said):
            Store.open(tmp_path / "store", wrong)
    copied = DiskSpec(tmp_path / "copied", 1)
    copied.path.mkdir()
    (copied.path / "disk.json").write_bytes((ours.path / "disk.json").read_bytes())
    with pytest.raises(DiskRefused, match="was copied from it"):
        Store.open(tmp_path / "store", [ours, copied])
    # Nothing of this has cost the store anything, or kept a lock.
    Store.open(tmp_path / "store", [ours]).close()


def test_a_disk_that_another_process_owns_is_refused_though_the_stores_folder_is_not_its(
    tmp_path: Path,
) -> None:
    disks = specs(tmp_path, "ab")
    Store.open(tmp_path / "store", disks).close()
    (tmp_path / "copy").mkdir()
    record = (tmp_path / "store" / "disks.json").read_bytes()
    (tmp_path / "copy" / "disks.json").write_bytes(record)
    said = f"disk-a is in use by process {os.getpid()}"
    with Store.open(tmp_path / "store", disks), pytest.raises(StoreInUse, match=said):
        Store.open(tmp_path / "copy", disks)


def test_a_store_of_one_folder_may_be_moved_with_all_that_it_holds(tmp_path: Path) -> None:
    root = tmp_path / "store"
    with Store.open(root, [DiskSpec(root, CAPACITY_BYTES)]) as store:
        put(store, KEYS[0])
    moved = root.rename(tmp_path / "moved")
    assert [place.root for place in places(moved)] == [str(moved)]
    with Store.open(moved) as store:
        assert held(store) == {KEYS[0]}


def test_the_stores_folder_may_be_one_of_several_disks(tmp_path: Path) -> None:
    root = tmp_path / "store"
    root.mkdir()
    disks = [DiskSpec(root, CAPACITY_BYTES, Tier.SSD), *specs(tmp_path, "a")]
    with Store.open(root, disks) as store:
        on = put_all(store)
    assert set(on.values()) == {root, disks[1].path}
