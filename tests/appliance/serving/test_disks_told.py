"""What workers and their owner tell each other of disks: real worker processes, real sockets."""

import asyncio
import os
from contextlib import closing
from pathlib import Path

from appliance.deadline import until
from appliance.serving.serve_process import put_object, read_response, read_to_end
from appliance.serving.steady_clients import steady_clients
from appliance.serving.test_limits import Bounded, bounded
from appliance.store.damage import KEYS, put

from sluice_appliance.serving.limits import Limits
from sluice_appliance.serving.orders import look_on
from sluice_appliance.store.disks import DiskPlace, DiskSpec, DiskState, Tier
from sluice_appliance.store.layout import BODY_OFFSET, object_path, parse_key
from sluice_appliance.store.store import Store
from sluice_appliance.store.threaded import ThreadedStore
from sluice_appliance.store.watching import watch_disks

BODY = b"0123456789" * 1000


def status_of(served: Bounded, key: str) -> int:
    with closing(served.connect()) as client:
        client.sendall(f"GET /{key} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        return read_response(client)[0]


def test_a_disk_that_comes_while_a_box_runs_is_served_from_and_no_request_is_lost(
    tmp_path: Path,
) -> None:
    specs = [DiskSpec(tmp_path / name, 1 << 30, Tier.SSD) for name in "ab"]
    for spec in specs:
        spec.path.mkdir()
    # So many that no draw of two disks leaves one of them without any.
    keys = [parse_key(f"film/v1/{number}") for number in range(40)]
    with Store.open(tmp_path / "store", specs) as store:
        on = {key: put(store, key, BODY).is_relative_to(specs[0].path) for key in keys}
    pulled = next(key for key in keys if on[key])
    kept = next(key for key in keys if not on[key])
    specs[0].path.rename(tmp_path / "pulled")

    async def story(store: Store) -> None:
        async with bounded(tmp_path / "store", Limits(), disks=store.places()) as served:
            told: list[int] = []

            async def tell(disks: tuple[DiskPlace, ...]) -> bool:
                # As where workers cannot be replaced just now.
                told.append(len(disks))
                return len(told) > 1 and await look_on(served.pool, disks)

            watching = asyncio.create_task(watch_disks(ThreadedStore(store), tell, every_s=0.05))
            with steady_clients(served.connect, f"/{kept}", BODY, clients=2) as seen:
                assert await asyncio.to_thread(status_of, served, pulled) == 404
                assert store.disks()[0].state is DiskState.FAILED
                (tmp_path / "pulled").rename(specs[0].path)
                async with asyncio.timeout(30):
                    while await asyncio.to_thread(status_of, served, pulled) != 200:
                        await asyncio.sleep(0.05)
                before = seen.answered
                await until("answers go on", lambda: seen.answered > before + 10)
            assert seen.failures == []
            assert told == [2, 2]
            watching.cancel()

    with Store.open(tmp_path / "store", specs) as store:
        asyncio.run(story(store))


def test_a_worker_tells_its_pool_which_file_gave_no_more_and_where(tmp_path: Path) -> None:
    put_object(tmp_path / "store", KEYS[0], BODY * 100)
    path = object_path(str(tmp_path / "store"), KEYS[0])

    async def story() -> None:
        async with bounded(tmp_path / "store", Limits()) as served:
            heard: list[tuple[str, int]] = []
            served.pool.suspect = lambda path, offset: heard.append((path, offset))
            assert await asyncio.to_thread(status_of, served, KEYS[0]) == 200
            os.truncate(path, BODY_OFFSET + len(BODY))
            for _ in range(2):
                with closing(served.connect()) as client:
                    ask = f"GET /{KEYS[0]} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
                    client.sendall(ask.encode())
                    await asyncio.to_thread(read_to_end, client)
            await until("heard", lambda: heard)
            assert heard == [(path, len(BODY))]

    asyncio.run(story())
