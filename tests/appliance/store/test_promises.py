"""Room that an object on its way in was given is nobody else's."""

import errno
import hashlib
import os
import threading
from pathlib import Path

import pytest
from appliance.store.damage import put
from hypothesis import given
from hypothesis import strategies as st

from sluice_appliance.object_key import parse_key
from sluice_appliance.store.disk import RealDisk
from sluice_appliance.store.disks import DiskSpec, Tier
from sluice_appliance.store.layout import ObjectKey
from sluice_appliance.store.partial import PartialObject
from sluice_appliance.store.promises import Promises
from sluice_appliance.store.store import Store

KEYS = [parse_key(f"film/v1/{number}.mp4") for number in range(64)]
BODY = os.urandom(100_000)
SHA256 = hashlib.sha256(BODY).digest()


def one_disk(root: Path, capacity_bytes: int, name: str = "a") -> DiskSpec:
    spec = DiskSpec(root / f"disk-{name}", capacity_bytes, Tier.SSD)
    spec.path.mkdir(exist_ok=True)
    return spec


def begin(store: Store, key: ObjectKey) -> PartialObject:
    return store.begin(key, len(BODY), SHA256, "video/mp4")


def test_of_two_objects_at_once_the_second_is_told_that_there_is_no_room_before_a_byte_of_it_comes(
    tmp_path: Path,
) -> None:
    with Store.open(tmp_path / "store", [one_disk(tmp_path, 150_000)]) as store:
        first = begin(store, KEYS[0])
        with pytest.raises(OSError, match="no disk has room for 100000 bytes") as caught:
            begin(store, KEYS[1])
        assert caught.value.errno == errno.ENOSPC
        assert [header.key for header, _ in store.partials()] == [KEYS[0]]
        # It is refused for room, which is not the disk's fault.
        assert store.disks()[0].errors == 0
        # Whoever goes on with an object has its room already.
        first.write(BODY[:60_000])
        first.close()
        first = begin(store, KEYS[0])
        assert first.received_bytes == 60_000
        # One that is given up leaves its room to another.
        first.discard()
        second = begin(store, KEYS[1])
        second.write(BODY)
        second.publish()
        second.close()
        assert store.held(KEYS[1])
        # As an object it takes its room once.
        assert store.disks()[0].stored_bytes == len(BODY)
        with pytest.raises(OSError, match="no disk has room"):
            begin(store, KEYS[2])
        store.delete(KEYS[1])
        begin(store, KEYS[2]).close()


def test_objects_at_once_go_to_disks_that_have_room_for_each(tmp_path: Path) -> None:
    disks = [one_disk(tmp_path, 150_000, name) for name in "abc"]
    with Store.open(tmp_path / "store", disks) as store:
        partials = [begin(store, key) for key in KEYS[:3]]
        assert {partial.root for partial in partials} == {str(disk.path) for disk in disks}
        for partial in partials:
            partial.close()


def test_an_object_whose_disk_gave_its_room_away_meanwhile_begins_on_another(
    tmp_path: Path,
) -> None:
    disks = [one_disk(tmp_path, 150_000, name) for name in "ab"]
    with Store.open(tmp_path / "store", disks) as store:
        begun = begin(store, KEYS[0])
        begun.write(BODY[:50_000])
        begun.close()
        by_root = {begun.root: begun}
        others: list[PartialObject] = []
        while len(by_root) < 2:
            others.append(begin(store, KEYS[1 + len(others)]))
            by_root.setdefault(others[-1].root, others[-1])
        if begun.root not in {other.root for other in others}:
            others.append(begin(store, KEYS[20]))
        with pytest.raises(OSError, match="no disk has room"):
            begin(store, KEYS[0])
        elsewhere = next(other for other in others if other.root != begun.root)
        elsewhere.discard()
        again = begin(store, KEYS[0])
        assert (again.root != begun.root, again.received_bytes) == (True, 0)
        for other in (again, *others):
            other.close()


def test_of_an_object_of_which_a_part_may_come_the_part_needs_room(tmp_path: Path) -> None:
    disks = [one_disk(tmp_path, 150_000, name) for name in "ab"]
    with Store.open(tmp_path / "store", disks) as store:
        held = [put(store, key, BODY[:90_000]) for key in KEYS[:2]]
        assert len({path.parents[2] for path in held}) == 2

        def begin_part(more_bytes: float, key: ObjectKey = KEYS[2]) -> PartialObject:
            return store.begin(key, len(BODY), SHA256, "video/mp4", more_bytes=more_bytes)

        with pytest.raises(OSError, match="no disk has room for 100000 bytes"):
            begin_part(70_000)
        part = begin_part(40_000)
        part.write(BODY[:40_000])
        # What is left there is too little for as much again of another, which goes to the other disk.
        other = begin_part(40_000, KEYS[3])
        assert other.root != part.root
        with pytest.raises(OSError, match="no disk has room"):
            begin_part(40_000, KEYS[4])
        other.discard()
        part.close()
        # The next part goes on where the first is, and so does the rest once there is room for it.
        began_on = part.root
        part = begin_part(10_000)
        assert (part.root, part.received_bytes) == (began_on, 40_000)
        part.close()
        store.delete(KEYS[0])
        store.delete(KEYS[1])
        part = begin_part(float("inf"))
        assert (part.root, part.received_bytes) == (began_on, 40_000)
        part.write(BODY[40_000:])
        part.publish()
        assert store.held(KEYS[2])


def test_the_file_systems_room_is_promised_once_too(tmp_path: Path) -> None:
    status = os.statvfs(tmp_path)
    size_bytes = int(0.6 * status.f_bavail * status.f_frsize)
    with Store.open(tmp_path / "store", [one_disk(tmp_path, 1 << 62)]) as store:
        first = store.begin(KEYS[0], size_bytes, SHA256, "video/mp4")
        with pytest.raises(OSError, match="no disk has room"):
            store.begin(KEYS[1], size_bytes, SHA256, "video/mp4")
        first.close()
        store.begin(KEYS[1], size_bytes, SHA256, "video/mp4").close()


def test_an_object_that_could_not_be_begun_or_published_leaves_its_room(tmp_path: Path) -> None:
    class Fails(RealDisk):
        at = ""

        def _strike(self, at: str) -> None:
            if self.at == at:
                type(self).at = ""
                raise OSError(errno.EIO, f"the test's disk fails at {at}")

        def open_for_writing(self, path: str) -> int:
            if "partial" in path:
                self._strike("open")
            return super().open_for_writing(path)

        def rename(self, source: str, target: str) -> None:
            self._strike("rename")
            super().rename(source, target)

    with Store.open(tmp_path / "store", [one_disk(tmp_path, 150_000)], disk=Fails()) as store:
        for at in ("open", "rename"):
            Fails.at = at
            with pytest.raises(OSError, match=f"fails at {at}"):
                put(store, KEYS[0], BODY)
            begin(store, KEYS[1]).close()


def test_however_many_threads_begin_at_once_no_more_is_promised_than_there_is(
    tmp_path: Path,
) -> None:
    disks = [one_disk(tmp_path, 250_000, name) for name in "ab"]
    with Store.open(tmp_path / "store", disks) as store:
        begun: list[PartialObject] = []
        refused: list[int | None] = []
        barrier = threading.Barrier(8)

        def begin_some(keys: list[ObjectKey]) -> None:
            barrier.wait(5)
            for key in keys:
                try:
                    begun.append(begin(store, key))
                except OSError as error:
                    refused.append(error.errno)

        threads = [
            threading.Thread(target=begin_some, args=(KEYS[at : at + 8],)) for at in range(0, 64, 8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(10)
        assert sorted(partial.root for partial in begun) == [
            str(spec.path) for spec in disks for _ in range(2)
        ]
        assert refused == [errno.ENOSPC] * 60
        for partial in begun:
            partial.close()


Asks = st.lists(st.tuples(st.booleans(), st.integers(0, 5), st.integers(0, 100)))


@given(Asks)
def test_promises_are_those_that_were_given_and_not_taken_back(
    asks: list[tuple[bool, int, int]],
) -> None:
    promises, expected = Promises(), dict[str, int]()
    for gives, number, size_bytes in asks:
        path = str(number)
        if gives:
            promises.give(path, size_bytes)
            expected[path] = size_bytes
        else:
            promises.take_back(path)
            expected.pop(path, None)
        assert len(promises) == len(expected)
        assert promises.promised_bytes("") == sum(expected.values())
        assert promises.promised_bytes("1") == sum(expected.values()) - expected.get("1", 0)
        assert promises.unwritten_bytes("", lambda path: 40) == sum(
            max(0, size - 40) for size in expected.values()
        )
