"""Two packages that were weighed and not taken: what they cost beside what stands in their place.

    .venv/bin/python tests/benchmarks/packages/bench.py

aiofiles: a received MiB is hashed and written, in one hop to a thread as the store does it, or hashed in
one and written by aiofiles in another. diskcache: a steering map of 1 MiB is kept and read back, as a
cache entry or as the file that `write_atomically` makes durable. Medians, interleaved.
"""

import argparse
import asyncio
import hashlib
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import aiofiles
import diskcache

from sluice_runtime.files import write_atomically

CHUNK = b"s" * (1 << 20)


async def _one_hop(path: Path) -> None:
    digest = hashlib.sha256()

    def both() -> None:
        digest.update(CHUNK)
        with path.open("r+b", buffering=0) as file:
            file.write(CHUNK)

    await asyncio.to_thread(both)


async def _by_aiofiles(path: Path) -> None:
    digest = hashlib.sha256()
    await asyncio.to_thread(digest.update, CHUNK)
    async with aiofiles.open(path, "r+b", buffering=0) as file:
        await file.write(CHUNK)


async def _median_ms(
    ways: dict[str, Callable[[], Awaitable[None]]], rounds: int
) -> dict[str, float]:
    took: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            began = time.perf_counter()
            await way()
            took[name].append((time.perf_counter() - began) * 1e3)
    return {name: statistics.median(each) for name, each in took.items()}


async def _measure(rounds: int) -> None:
    with tempfile.TemporaryDirectory() as folder, diskcache.Cache(f"{folder}/cache") as cache:
        written, kept = Path(folder) / "written", Path(folder) / "kept"
        written.touch()

        async def keep_in_file() -> None:
            write_atomically(kept, CHUNK)

        async def keep_in_cache() -> None:
            cache.set("map", CHUNK)

        async def read_file() -> None:
            kept.read_bytes()

        async def read_cache() -> None:
            cache.get("map")

        figures = await _median_ms(
            {
                "hash + write of 1 MiB, one thread hop": lambda: _one_hop(written),
                "hash + write of 1 MiB, aiofiles": lambda: _by_aiofiles(written),
                "keep 1 MiB, write_atomically (synced)": keep_in_file,
                "keep 1 MiB, diskcache (not synced)": keep_in_cache,
                "read 1 MiB, file": read_file,
                "read 1 MiB, diskcache": read_cache,
            },
            rounds,
        )
    for name, milliseconds in figures.items():
        print(f"{name:42} {milliseconds:7.2f} ms")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=200)
    asyncio.run(_measure(parser.parse_args().rounds))


if __name__ == "__main__":
    main()
