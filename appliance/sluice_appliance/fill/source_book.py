"""Where each title may be fetched, as the control plane said last, and since when it is wanted.

A nearer source may have a title by the time that a farther one may be asked: so who waits asks the
control plane again meanwhile.
"""

import asyncio
from collections.abc import Collection
from dataclasses import dataclass
from typing import Protocol

from sluice_appliance.fill.sources import Source, TitleSources, due, next_due_s

# A peer, a few other sites, the origin: more would only delay the wait that follows.
SOURCES_MAX = 8
# An answer is good for the other objects of its title for so long; peers come and go.
LISTING_S = 10.0

# (title, version)
Name = tuple[str, str]


class SourcesUnknown(Exception):
    """The control plane cannot be asked now."""


class SourcesNotDue(Exception):
    """No source may be asked yet. Come back after `in_s`."""

    def __init__(self, in_s: float) -> None:
        super().__init__(f"the first source may be asked in {in_s:.1f} s")
        self.in_s = in_s


class ListsSources(Protocol):
    """The control plane, as far as a fetch needs it."""

    async def list_sources(self, title: str, version: str) -> TitleSources:
        """Raises SourcesUnknown."""
        ...


@dataclass(frozen=True, slots=True)
class _Listing:
    asked_at: float
    found: TitleSources


class SourceBook:
    """Bounded by the titles that are to be fetched now."""

    def __init__(self, lister: ListsSources) -> None:
        self._lister = lister
        self._wanted_at: dict[Name, float] = {}
        self._listings: dict[Name, _Listing] = {}

    def want(self, names: Collection[Name]) -> None:
        """These may be fetched now, and no others; their waits count from when that began."""
        now = _now()
        self._wanted_at = {name: self._wanted_at.get(name, now) for name in names}
        self._listings = {name: at for name, at in self._listings.items() if name in names}

    async def look_up(self, title: str, version: str) -> tuple[tuple[Source, ...], TitleSources]:
        """(the sources that may be asked now, all that is known). While the control plane cannot be
        asked, its last answer counts. Raises SourcesUnknown, SourcesNotDue."""
        name = title, version
        found = await self._listing(name)
        sources = found.sources[:SOURCES_MAX]
        waited_s = _now() - self._wanted_at.get(name, _now())
        usable = due(sources, waited_s)
        if sources and not usable:
            raise SourcesNotDue(min(LISTING_S, next_due_s(sources, waited_s)))
        return usable, found

    async def _listing(self, name: Name) -> TitleSources:
        known = self._listings.get(name)
        if known is not None and _now() - known.asked_at < LISTING_S:
            return known.found
        try:
            found = await self._lister.list_sources(*name)
        except SourcesUnknown:
            if known is None:
                raise
            return known.found
        if name in self._wanted_at:
            self._listings[name] = _Listing(_now(), found)
        return found


def _now() -> float:
    return asyncio.get_running_loop().time()
