"""A box's fill, over and over, as a process of its own: what serving is measured beside.

    filling.py FOLDER URL FACTS [BITS_PER_S] [--as-serving]

FACTS is a JSON file: size, SHA-256 and digests of blocks of the object at URL. Says `filling` when it does, then
each second how many MiB came. It stands back as the supervisor of `sluice-appliance run` does; `--as-serving`
leaves that out.
"""

import asyncio
import json
import sys
import time
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
from sluice_appliance.store.layout import ObjectHeader
from sluice_appliance.store.store import Store
from sluice_appliance.store.threaded import ThreadedStore
from sluice_runtime.background import BACKGROUND_NICE, background_threads, leave_cores

KEY = parse_key("film/v1/a.mp4")
_TELL_S = 1.0


def main() -> None:
    words = [word for word in sys.argv[1:] if word != "--as-serving"]
    stands_back = len(words) == len(sys.argv) - 1
    if stands_back:
        leave_cores(1)
    folder, url, facts = words[:3]
    bits_per_s = float(words[3]) if len(words) > 3 else None
    found = json.loads(Path(facts).read_text())
    header = ObjectHeader(KEY, found["size_bytes"], bytes.fromhex(found["sha256"]), "video/mp4")
    digests = bytes.fromhex(found["blocks"])
    asyncio.run(
        fill(
            Path(folder),
            url,
            header,
            digests,
            bits_per_s,
            for_ever=True,
            nice=BACKGROUND_NICE if stands_back else 0,
        )
    )


async def fill(
    root: Path,
    url: str,
    header: ObjectHeader,
    digests: bytes,
    bits_per_s: float | None = None,
    *,
    for_ever: bool = False,
    nice: int = BACKGROUND_NICE,
) -> None:
    """Once, or until killed. Each time the object is published durably; then it is deleted."""
    asyncio.get_running_loop().set_default_executor(background_threads("background", nice=nice))
    tally = FillTally(supervisor_counters())
    with Store.open(root) as store:
        async with (
            HttpSources.open_session() as session,
            asyncio.TaskGroup() as group,
        ):
            intake = Intake(
                HttpSources(session), tally, Reputation(), Pace(bits_per_s), stall_s=10.0
            )
            fetcher = Fetcher(ThreadedStore(store), intake, tally)
            peer = Source("a-2", SourceKind.PEER, url)
            telling = group.create_task(_tell(tally)) if for_ever else None
            while await fetcher.fetch(header, [peer], block_digests=digests) and telling:
                await ThreadedStore(store).delete(header.key)


async def _tell(tally: FillTally) -> None:
    while not tally.filled_bytes:
        await asyncio.sleep(0.01)
    sys.stdout.write("filling\n")
    sys.stdout.flush()
    while True:
        began_at, before = time.monotonic(), tally.filled_bytes
        await asyncio.sleep(_TELL_S)
        rate = (tally.filled_bytes - before) / (time.monotonic() - began_at) / (1 << 20)
        sys.stdout.write(f"{rate:.1f}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
