"""What to fetch and what to let go, from what is wanted, what is held, and the room there is.

Titles come in order of importance and are held whole or not at all. A title that does not fit is passed
over and smaller ones behind it may still be taken. What is held of a title that was passed over stays
as long as it is in nobody's way.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sluice_appliance.fill.manifest import WantedTitle
from sluice_appliance.store.layout import ObjectHeader, ObjectKey


@dataclass(frozen=True, slots=True)
class Fetch:
    """One object to fetch, and the title that asks for it."""

    title: str
    version: str
    wanted: ObjectHeader


@dataclass(frozen=True, slots=True)
class FillPlan:
    """Evict first, then fetch in order: then the store never holds more than its capacity."""

    evict: tuple[ObjectKey, ...]
    fetch: tuple[Fetch, ...]
    # Titles for which there is no room, the most wanted first.
    without_room: tuple[WantedTitle, ...]


def plan_fill(
    titles: Sequence[WantedTitle],
    held: Mapping[ObjectKey, ObjectHeader],
    *,
    capacity_bytes: int,
) -> FillPlan:
    """The same input makes the same plan."""
    chosen, without_room, free_bytes = _choose(titles, capacity_bytes)
    keep = {wanted.key for title in chosen for wanted in title.objects if _is_held(wanted, held)}
    for title in without_room:
        for wanted in title.objects:
            if _is_held(wanted, held) and wanted.size_bytes <= free_bytes:
                keep.add(wanted.key)
                free_bytes -= wanted.size_bytes
    fetch = tuple(
        Fetch(title.title, title.version, wanted)
        for title in chosen
        for wanted in title.objects
        if wanted.key not in keep
    )
    evict = tuple(sorted(key for key in held if key not in keep))
    return FillPlan(evict, fetch, tuple(without_room))


def _choose(
    titles: Sequence[WantedTitle], capacity_bytes: int
) -> tuple[list[WantedTitle], list[WantedTitle], int]:
    chosen: list[WantedTitle] = []
    without_room: list[WantedTitle] = []
    free_bytes = capacity_bytes
    for title in titles:
        if title.size_bytes <= free_bytes:
            chosen.append(title)
            free_bytes -= title.size_bytes
        else:
            without_room.append(title)
    return chosen, without_room, free_bytes


def _is_held(wanted: ObjectHeader, held: Mapping[ObjectKey, ObjectHeader]) -> bool:
    # A key whose bytes or media type are others than the manifest's is let go and fetched anew.
    return held.get(wanted.key) == wanted
