"""Drains what workers count of each object, once a second, and shows it as `/popularity`."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import asdict

from aiohttp import web

from sluice_appliance.serving import tally
from sluice_appliance.serving.demand import HALF_LIFE_S, ObjectDemand
from sluice_appliance.serving.popularity import Hits, Popularity

# Slots of closed objects are free again after a drain at the latest.
DRAIN_S = 1.0
SHOWN = 50
SHOWN_MAX = 1000


class PopularityPage:
    """Counts what was lost in `row`, the pool's own. `hear` is told what each drain brought."""

    def __init__(
        self,
        popularity: Popularity,
        row: "memoryview[int]",
        clock: Callable[[], float],
        hear: Callable[[Mapping[str, Hits]], None] = lambda _: None,
    ) -> None:
        self._popularity = popularity
        self._row = row
        self._clock = clock
        self._hear = hear
        self._demand = ObjectDemand(clock())

    async def run(self) -> None:
        """Drains until cancelled."""
        while True:
            self.drain()
            await asyncio.sleep(DRAIN_S)

    def drain(self) -> None:
        drained = self._popularity.drain()
        self._row[tally.POPULARITY_LOST] += drained.lost.hits
        self._demand.add(drained.by_key, self._clock())
        self._hear(drained.by_key)

    def routes(self) -> list[web.RouteDef]:
        """`/popularity`, with `?count=` for how many objects."""
        return [web.get("/popularity", self._show)]

    async def _show(self, asked: web.Request) -> web.Response:
        said = asked.query.get("count", str(SHOWN))
        if not said.isdecimal() or not 1 <= int(said) <= SHOWN_MAX:
            return web.Response(status=400, text=f"count is {said!r}, expected 1..{SHOWN_MAX}\n")
        self.drain()
        return web.json_response(
            {
                "half_life_s": HALF_LIFE_S,
                "objects_known": len(self._demand),
                "hits_lost": self._row[tally.POPULARITY_LOST],
                "objects": [asdict(each) for each in self._demand.top(int(said), self._clock())],
            }
        )
