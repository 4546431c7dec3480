"""What serving could not read is checked at once: put away where it is damaged, left alone where it is not."""

import asyncio
import os
import threading
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from appliance.deadline import until
from appliance.store.damage import BODY, DAMAGE, KEYS, put, put_version_1

from sluice_appliance.metrics import supervisor_counters
from sluice_appliance.store.checking import Finding
from sluice_appliance.store.layout import BLOCK_BYTES, BODY_OFFSET
from sluice_appliance.store.store import Store
from sluice_appliance.store.suspects import SUSPECTS_MAX, Suspects
from sluice_appliance.store.tally import AuditTally
from sluice_appliance.store.threaded import ThreadedStore
from sluice_runtime.counters import index_of


class NoPace:
    def next_send_at(self, size_bytes: int, now: float) -> float:
        return now


class Rig:
    def __init__(self) -> None:
        self.counters = supervisor_counters()
        self.lost = 0

    def count(self, name: str, **labels: str) -> int:
        cell = index_of(self.counters.specs, f"sluice_appliance_{name}", **labels)
        return self.counters.total(cell)

    def suspects(self, store: ThreadedStore) -> Suspects:
        return Suspects(
            store, AuditTally(self.counters), pace=lambda now: NoPace(), lost=self._lose
        )

    def _lose(self) -> None:
        self.lost += 1

    def check(self, store: Store, suspicions: list[tuple[str, int]], checked: int) -> None:
        """Until so many were found to be what they are."""

        async def story() -> None:
            suspects = self.suspects(ThreadedStore(store))
            async with asyncio.TaskGroup() as group:
                running = group.create_task(suspects.run())
                for path, offset in suspicions:
                    suspects.add(path, offset)
                await until("checked", lambda: self.checked() == checked)
                running.cancel()

        asyncio.run(story())

    def checked(self) -> int:
        verdicts = ("sound", "damaged", "unreadable", "upgraded")
        return sum(self.count("audit_objects_total", verdict=each) for each in verdicts)


def test_a_damaged_suspect_is_put_away_and_its_object_asked_for_and_a_sound_one_stays(
    tmp_path: Path,
) -> None:
    rig = Rig()
    with Store.open(tmp_path) as store:
        paths = [put(store, key) for key in KEYS[:3]]
        old = put_version_1(tmp_path, KEYS[3])
        DAMAGE["a bit of the last byte"](paths[0])
        DAMAGE["cut short in the body"](paths[1])
        told = [(str(path), 2 * BLOCK_BYTES + 5) for path in (*paths, old)]
        rig.check(store, [*told, *told], 4)
        assert [store.held(key) is None for key in KEYS[:4]] == [True, True, False, False]
        assert len(list((tmp_path / "quarantine").iterdir())) == 2
        # It is no pass of the audit: nothing is written anew.
        assert old.stat().st_size == BODY_OFFSET + len(BODY)
    assert rig.count("audit_objects_total", verdict="damaged") == rig.lost == 2
    assert rig.count("audit_objects_total", verdict="sound") == 2
    assert rig.count("audit_bytes_total") > 2 * len(BODY)


def test_the_block_that_could_not_be_read_is_looked_at_first(tmp_path: Path) -> None:
    with Store.open(tmp_path) as store:
        path = put(store, KEYS[0])
        DAMAGE["a bit of the last byte"](path)
        reads = [step for step in store.recheck(str(path), len(BODY) - 1) if isinstance(step, int)]
        assert max(reads) < BLOCK_BYTES
        put(store, KEYS[0])
        for suspect in (0, BLOCK_BYTES, len(BODY) - 1, 1 << 40):
            steps = list(store.recheck(str(path), suspect))
            assert sum(step for step in steps if isinstance(step, int)) > len(BODY)


def test_a_path_that_is_no_objects_file_is_not_touched(tmp_path: Path) -> None:
    with Store.open(tmp_path / "store") as store:
        path = put(store, KEYS[0])
        elsewhere = tmp_path / path.name
        elsewhere.write_bytes(b"not ours")
        gone = path.with_name("f" * 64)
        above = f"{path.parent}/../{path.parent.name}/{path.name}"
        for other in (str(elsewhere), above, str(tmp_path / "store" / "lock"), ""):
            assert list(store.recheck(other, 0)) == []
        findings = [step for step in store.recheck(str(gone), 0) if isinstance(step, Finding)]
        assert findings == []
        assert elsewhere.exists()


def test_more_suspects_than_are_looked_at_are_dropped_and_counted(tmp_path: Path) -> None:
    rig = Rig()
    with Store.open(tmp_path) as store:
        suspects = rig.suspects(ThreadedStore(store))
        for number in range(SUSPECTS_MAX + 10):
            suspects.add(f"{number}", 0)
            suspects.add(f"{number}", 1)
    assert rig.count("suspects_dropped_total") == 20


def test_the_audit_does_not_wait_for_what_comes_in(tmp_path: Path) -> None:
    """Every thread of the loop is held up by a disk; the audit has its own."""
    held_up = threading.Event()

    async def story(store: Store, threads: ThreadPoolExecutor) -> None:
        loop = asyncio.get_running_loop()
        busy = [
            loop.run_in_executor(None, held_up.wait) for _ in range(4 * (os.cpu_count() or 1) + 32)
        ]
        try:
            async with asyncio.timeout(20):
                steps = [step async for step in _audited(ThreadedStore(store, threads), store)]
        finally:
            held_up.set()
            await asyncio.gather(*busy)
        assert sum(isinstance(step, Finding) for step in steps) == 1

    with Store.open(tmp_path) as store, ThreadPoolExecutor(1) as threads:
        put(store, KEYS[0])
        asyncio.run(story(store, threads))


def _audited(threaded: ThreadedStore, store: Store) -> AsyncIterator[int | Finding]:

    return threaded.audit(store.disks()[0].name)
