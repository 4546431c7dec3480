"""How fast an object is filled from a source on this machine, beside `curl -o` and `dd`, in turns.

    make bench-fill

The source is `sluice-appliance serve` with the object in its memory. `curl` takes it to a file and syncs it, `dd`
copies as many bytes to a file and syncs it: the smaller of the two is what the link and the disk give.
The fill fetches, verifies block by block and as a whole, and publishes durably. Serving beside it is not
measured here.
"""

import argparse
import asyncio
import hashlib
import json
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from sluice_appliance.fill.fetch import Fetcher
from sluice_appliance.fill.http_source import HttpSources
from sluice_appliance.fill.intake import Intake
from sluice_appliance.fill.pace import Pace
from sluice_appliance.fill.reputation import Reputation
from sluice_appliance.fill.sources import Source, SourceKind
from sluice_appliance.fill.tally import FillTally
from sluice_appliance.metrics import supervisor_counters
from sluice_appliance.object_key import parse_key
from sluice_appliance.store.blocks import block_digests
from sluice_appliance.store.layout import ObjectHeader
from sluice_appliance.store.store import Store
from sluice_appliance.store.threaded import ThreadedStore

KEY = parse_key("film/v1/a.mp4")
PROGRAM = Path(sys.executable).parent / "sluice-appliance"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mib", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--folder", type=Path, default=Path(), help="on the disk to measure")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as name:
        rates = _measure(Path(name).absolute(), arguments.mib, arguments.rounds)
    medians = {what: statistics.median(of) for what, of in rates.items()}
    share = medians["fill"] / min(medians["curl"], medians["dd"])
    for what, rate in medians.items():
        sys.stdout.write(f"{what:6} {rate:8.0f} MiB/s\n")
    sys.stdout.write(f"fill is {share:.2f} of the smaller of link and disk\n")
    if arguments.json is not None:
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        arguments.json.write_text(json.dumps({"mib_per_s": rates, "share": share}, indent=1))


def _measure(folder: Path, mib: int, rounds: int) -> dict[str, list[float]]:
    rng = random.Random(1)
    body = b"".join(rng.randbytes(1 << 20) for _ in range(mib))
    header = ObjectHeader(KEY, len(body), hashlib.sha256(body).digest(), "video/mp4")
    digests = block_digests(body)
    (folder / "a.mp4").write_bytes(body)
    del body
    source = folder / "source"
    subprocess.run(
        [PROGRAM, "import", "--store", source, "--key", KEY, folder / "a.mp4"], check=True
    )
    serving = subprocess.Popen(
        [PROGRAM, "serve", "--store", source, "--listen", "127.0.0.1:0", "--workers", "1"],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert serving.stdout is not None
        url = serving.stdout.readline().split()[-1] + "/"
        ways: dict[str, Callable[[], None]] = {
            "curl": lambda: _run(folder, f"curl -sfo out '{url}{KEY}' && sync out"),
            "dd": lambda: _run(folder, "dd if=a.mp4 of=out bs=1M conv=fsync status=none"),
            "fill": lambda: asyncio.run(_fill(folder / "store", url, header, digests)),
        }
        rates: dict[str, list[float]] = {what: [] for what in ways}
        for _ in range(rounds):
            for what, way in ways.items():
                _run(folder, "rm -rf out store; sync .")
                began_at = time.perf_counter()
                way()
                rates[what].append(mib / (time.perf_counter() - began_at))
        return rates
    finally:
        serving.terminate()
        serving.wait()


def _run(folder: Path, command: str) -> None:
    subprocess.run(command, shell=True, check=True, cwd=folder)


async def _fill(root: Path, url: str, header: ObjectHeader, digests: bytes) -> None:
    tally = FillTally(supervisor_counters())
    with Store.open(root) as store:
        async with HttpSources.open_session() as session:
            intake = Intake(HttpSources(session), tally, Reputation(), Pace(), stall_s=10.0)
            fetcher = Fetcher(ThreadedStore(store), intake, tally)
            peer = Source("a-2", SourceKind.PEER, url)
            assert await fetcher.fetch(header, [peer], block_digests=digests)


if __name__ == "__main__":
    main()
