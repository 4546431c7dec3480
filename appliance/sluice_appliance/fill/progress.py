"""How far the store is with the manifest: what is reported to the control plane."""

from collections.abc import Mapping
from dataclasses import dataclass

from sluice_appliance.fill.manifest import Manifest, WantedTitle
from sluice_appliance.store.layout import ObjectHeader, ObjectKey


@dataclass(frozen=True, slots=True)
class FillProgress:
    """Counts of one manifest's objects and bytes."""

    manifest_revision: int
    # `{title}/{version}` of every title of which all objects are held, sorted.
    complete_titles: tuple[str, ...]
    held_objects: int
    wanted_objects: int
    held_bytes: int
    wanted_bytes: int


NOTHING_WANTED = FillProgress(0, (), 0, 0, 0, 0)


def measure(manifest: Manifest, held: Mapping[ObjectKey, ObjectHeader]) -> FillProgress:
    """An object is held if key, size, digest and media type are the manifest's."""
    wanted = [wanted for title in manifest.titles for wanted in title.objects]
    here = [header for header in wanted if held.get(header.key) == header]
    return FillProgress(
        manifest_revision=manifest.revision,
        complete_titles=tuple(
            sorted(_name(title) for title in manifest.titles if _is_complete(title, held))
        ),
        held_objects=len(here),
        wanted_objects=len(wanted),
        held_bytes=sum(header.size_bytes for header in here),
        wanted_bytes=sum(header.size_bytes for header in wanted),
    )


def _is_complete(title: WantedTitle, held: Mapping[ObjectKey, ObjectHeader]) -> bool:
    return all(held.get(wanted.key) == wanted for wanted in title.objects)


def _name(title: WantedTitle) -> str:
    return f"{title.title.removeprefix('titles/')}/{title.version}"
