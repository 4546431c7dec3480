"""Clients that fetch each object once, side by side, in a process of their own: `PORT CLIENTS WORKER`,
then on standard input a JSON of SHA-256 by path. Prints a JSON of what they got, and of how often the
thread that serves, looked at every few milliseconds, was found waiting for a disk.

A box may send them elsewhere (503) while its disk is busy: they come again a little later. A 503 that
does not say when to come again, and why, is wrong.
"""

import asyncio
import hashlib
import json
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

# One after the other; those that are refused come again sooner than a player would, and not together.
ARRIVE_EVERY_S = 0.01
RETRY_S = (0.1, 0.15, 0.2, 0.25, 0.3)
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
    # By the function of the kernel that it was in.
    disk_waits: dict[str, int] = field(default_factory=dict)


async def fetch_all(port: int, clients: int, worker: int, digests: dict[str, str]) -> Fetched:
    fetched = Fetched()
    left = list(digests.items())
    began = time.perf_counter()
    async with asyncio.timeout(TIMEOUT_S), asyncio.TaskGroup() as tasks:
        looking = tasks.create_task(_look(worker, fetched))
        async with asyncio.TaskGroup() as fetching:
            for number in range(clients):
                retry_s = RETRY_S[number % len(RETRY_S)]
                fetching.create_task(_client(port, left, fetched, retry_s))
                await asyncio.sleep(ARRIVE_EVERY_S)
        looking.cancel()
    fetched.seconds = time.perf_counter() - began
    return fetched


async def _look(worker: int, fetched: Fetched) -> None:
    """The main thread of a process has the number of the process; D is "waits for a disk"."""
    task = Path(f"/proc/{worker}/task/{worker}")
    while True:
        fetched.looks += 1
        if (task / "stat").read_text().rpartition(")")[2].split()[0] == "D":
            where = (task / "wchan").read_text()
            fetched.disk_waits[where] = fetched.disk_waits.get(where, 0) + 1
        await asyncio.sleep(LOOK_EVERY_S)


async def _client(port: int, left: list[tuple[str, str]], fetched: Fetched, retry_s: float) -> None:
    while left:
        path, digest = left.pop()
        while True:
            head, body = await _fetch(port, path)
            if not head.startswith(b"HTTP/1.1 503"):
                break
            fetched.shed += 1
            if b"\r\nRetry-After: " not in head or b"; detail=shed" not in head:
                fetched.wrong.append(head.decode())
            await asyncio.sleep(retry_s)
        fetched.objects += 1
        fetched.bytes += len(body)
        if hashlib.sha256(body).hexdigest() != digest:
            fetched.wrong.append(path)


async def _fetch(port: int, path: str) -> tuple[bytes, bytes]:
    """(head, body), the head without the empty line that ends it."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(f"GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode())
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
        return head, body
    finally:
        writer.close()


def main() -> None:
    port, clients, worker = map(int, sys.argv[1:])
    fetched = asyncio.run(fetch_all(port, clients, worker, json.load(sys.stdin)))
    print(json.dumps(asdict(fetched)))


if __name__ == "__main__":
    main()
