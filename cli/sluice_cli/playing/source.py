"""Gets bytes from wherever they can be had: address after address, name after name, until they fit.

For each object: the addresses of the first pathway's DNS answer in order, then that name asked
again, then the next pathway, and the whole row again after a pause, at most ROUNDS_MAX times.
"""

import asyncio
import ipaddress
from collections import Counter
from collections.abc import Callable, Sequence

from sluice_cli.playing.avoidance import ADDRESS_AVOIDED_S, PATHWAY_AVOIDED_S, Avoidance
from sluice_cli.playing.errors import CannotGoOn, FaultKind, FetchFault, NameUnresolved
from sluice_cli.playing.fetching import Fetched, HttpClient, Place
from sluice_cli.playing.integrity import Expected
from sluice_cli.playing.playback_api import Pathway
from sluice_cli.playing.resolving import SteeredResolver

ROUNDS_MAX = 3
# Before the second round; twice that before the third.
PAUSE_S = 0.5

_WRONG = {FaultKind.WRONG_BYTES, FaultKind.OVERLONG}


class Source:
    """Fetches expected bytes over the pathways of one playback, and remembers what failed."""

    def __init__(
        self,
        pathways: Sequence[Pathway],
        resolver: SteeredResolver,
        http: HttpClient,
        clock: Callable[[], float],
    ) -> None:
        self._pathways = pathways
        self._resolver = resolver
        self._http = http
        self._clock = clock
        self._addresses = Avoidance(ADDRESS_AVOIDED_S)
        self._names = Avoidance(PATHWAY_AVOIDED_S)
        self.failovers = 0
        self.faults: Counter[FaultKind] = Counter()
        # Of bytes that were used.
        self.bytes_by_place: Counter[tuple[str, int]] = Counter()

    async def fetch(self, expected: Expected) -> Fetched:
        """The expected bytes. Raises CannotGoOn when nobody has them."""
        search = _Search(expected)
        for number in range(ROUNDS_MAX):
            if number:
                await asyncio.sleep(PAUSE_S * 2 ** (number - 1))
            ordered = self._names.in_order(
                self._pathways, lambda way: way.pathway_id, self._clock()
            )
            for pathway in ordered:
                fetched = await self._from_pathway(pathway, search)
                if fetched is not None:
                    self._names.worked(pathway.pathway_id)
                    where = (fetched.place.address, fetched.place.port)
                    self.bytes_by_place[where] += len(fetched.body)
                    return fetched
                self._names.failed(pathway.pathway_id, self._clock())
        raise CannotGoOn(
            f"nobody has {expected.file}: {search.attempts} attempts in {ROUNDS_MAX} rounds over "
            f"{len(self._pathways)} pathways; last: {search.last_failure}",
            wrong_bytes=search.wrong_bytes,
        )

    async def _from_pathway(self, pathway: Pathway, search: "_Search") -> Fetched | None:
        tried: set[str] = set()
        for fresh in (False, True):
            try:
                addresses = await self._addresses_of(pathway, fresh=fresh)
            except NameUnresolved as error:
                search.failed(str(error))
                return None
            for address in addresses:
                if address in tried:
                    continue
                tried.add(address)
                fetched = await self._from_address(pathway, address, search)
                if fetched is not None:
                    return fetched
        return None

    async def _from_address(
        self, pathway: Pathway, address: str, search: "_Search"
    ) -> Fetched | None:
        place = Place(pathway.scheme, pathway.host, address, pathway.port, pathway.folder)
        if search.begin():
            self.failovers += 1
        try:
            fetched = await self._http.fetch(place, search.expected)
        except FetchFault as fault:
            self._addresses.failed(address, self._clock())
            self.faults[fault.kind] += 1
            search.failed(str(fault), wrong_bytes=fault.kind in _WRONG)
            return None
        self._addresses.worked(address)
        return fetched

    async def _addresses_of(self, pathway: Pathway, *, fresh: bool) -> Sequence[str]:
        try:
            ipaddress.ip_address(pathway.host)
        except ValueError:
            found = await self._resolver.resolve(pathway.host, fresh=fresh)
            return self._addresses.in_order(found, lambda address: address, self._clock())
        return () if fresh else (pathway.host,)


class _Search:
    """One object's way from failure to failure."""

    def __init__(self, expected: Expected) -> None:
        self.expected = expected
        self.attempts = 0
        self.last_failure = ""
        self.wrong_bytes = False
        self._failures = 0

    def begin(self) -> bool:
        """Whether this attempt follows a failure: then it is a failover."""
        self.attempts += 1
        return self._failures > 0

    def failed(self, reason: str, *, wrong_bytes: bool = False) -> None:
        self._failures += 1
        self.last_failure = reason
        self.wrong_bytes |= wrong_bytes
