"""Clients that fetch each object once, side by side, in a process of their own: `PORT CLIENTS WORKER`,
then on standard input a JSON of SHA-256 by path. Prints a JSON of what they got, and of how often the
thread that serves, looked at every few milliseconds, was found waiting for a disk.

A box may send them elsewhere (503) while its disk is busy: they come again a little later.
"""

import asyncio
import hashlib
import json
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

RETRY_S = 0.05
LOOK_EVERY_S = 0.003
TIMEOUT_S = 60.0


@dataclass
class Fetched:
    """What the clients got."""

    objects: int = 0
    bytes: int = 0
    shed: int = 0
    wrong: list[str] = field(default_factory=list)
    seconds: float = 0.0
    looks: int = 0
    disk_waits: int = 0


async def fetch_all(port: int, clients: int, worker: int, digests: dict[str, str]) -> Fetched:
    fetched = Fetched()
    left = list(digests.items())
    began = time.perf_counter()
    async with asyncio.timeout(TIMEOUT_S), asyncio.TaskGroup() as tasks:
        looking = tasks.create_task(_look(worker, fetched))
        async with asyncio.TaskGroup() as fetching:
            for _ in range(clients):
                fetching.create_task(_client(port, left, fetched))
        looking.cancel()
    fetched.seconds = time.perf_counter() - began
    return fetched


async def _look(worker: int, fetched: Fetched) -> None:
    """The main thread of a process has the number of the process; D is "waits for a disk"."""
    stat = Path(f"/proc/{worker}/task/{worker}/stat")
    while True:
        fetched.looks += 1
        fetched.disk_waits += stat.read_text().rpartition(")")[2].split()[0] == "D"
        await asyncio.sleep(LOOK_EVERY_S)


async def _client(port: int, left: list[tuple[str, str]], fetched: Fetched) -> None:
    while left:
        path, digest = left.pop()
        while (body := await _fetch(port, path)) is None:
            fetched.shed += 1
            await asyncio.sleep(RETRY_S)
        fetched.objects += 1
        fetched.bytes += len(body)
        if hashlib.sha256(body).hexdigest() != digest:
            fetched.wrong.append(path)


async def _fetch(port: int, path: str) -> bytes | None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(f"GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode())
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
        return None if head.startswith(b"HTTP/1.1 503") else body
    finally:
        writer.close()


def main() -> None:
    port, clients, worker = map(int, sys.argv[1:])
    fetched = asyncio.run(fetch_all(port, clients, worker, json.load(sys.stdin)))
    print(json.dumps(asdict(fetched)))


if __name__ == "__main__":
    main()
