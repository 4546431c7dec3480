"""What single decisions of the fill plan cost: prints microseconds, each the least of some rounds.

    python tests/simulation/costs.py

Of a box that wants 10,000 objects in 1,000 titles and holds all of them: as it was planned for before, and with a
manifest that was read anew since, in which every header is equal and none is the same. And of one that holds none.
"""

import random
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import cycle
from pathlib import Path
from zoneinfo import ZoneInfo

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from simulation.catalog import Catalog

from sluice_appliance.fill.holdings import Holdings
from sluice_appliance.fill.manifest import WantedTitle
from sluice_appliance.fill.percentile import SLOTS_OF_DAY, LinkMonth, headroom
from sluice_appliance.fill.plan import plan_fill
from sluice_appliance.fill.shelves import Shelf, Tier
from sluice_appliance.fill.survey import survey
from sluice_appliance.fill.windows import FillWindow, opening_at
from sluice_appliance.object_key import ObjectKey
from sluice_appliance.store.layout import ObjectHeader

_ROUNDS = 15
_MONTH = 31 * SLOTS_OF_DAY
_NOW = 1_774_000_000.0


def _us(act: Callable[[], object], times: int = 1) -> float:
    took = []
    for _ in range(_ROUNDS):
        began = time.process_time()
        for _ in range(times):
            act()
        took.append(time.process_time() - began)
    return min(took) / times * 1e6


def _read_anew(header: ObjectHeader) -> ObjectHeader:
    key = ObjectKey("".join(list(header.key)))
    return replace(header, key=key, sha256=bytes(bytearray(header.sha256)))


def _decide(
    decision: Callable[[Sequence[WantedTitle], Sequence[Shelf]], object],
    manifests: Iterator[Sequence[WantedTitle]],
    shelves: Sequence[Shelf],
) -> None:
    decision(next(manifests), shelves)


def main() -> None:
    titles = Catalog(1000, random.Random(1)).wanted()
    headers = [header for title in titles for header in title.objects]
    anew = [replace(title, objects=tuple(map(_read_anew, title.objects))) for title in titles]
    print(f"grouping what is held       {_us(partial(Holdings, headers)):10.1f}")
    for name, held, manifests in (
        ("unchanged", headers, (titles,)),
        ("manifest anew", headers, (titles, anew)),
        ("nothing", [], (titles,)),
    ):
        for decision in (survey, plan_fill):
            shelves = [Shelf(Tier.SSD, 10**14, Holdings(held))]
            took_us = _us(partial(_decide, decision, cycle(manifests), shelves))
            print(f"{decision.__name__:9}, held {name:13} {took_us:10.1f}")
    night = [FillWindow(120, 240, zone=ZoneInfo("Europe/Madrid"))]
    print(f"opening_at, one window      {_us(partial(opening_at, night, _NOW), 200):10.1f}")
    rng = random.Random(1)
    others = [rng.randrange(10**9) for _ in range(_MONTH)]
    for day in (1, 15, 31):
        seen = others[: day * SLOTS_OF_DAY]
        link = LinkMonth(_MONTH, [0] * len(seen), seen, others)
        print(f"headroom, day {day:2}            {_us(partial(headroom, link, 95)):10.1f}")


if __name__ == "__main__":
    main()
