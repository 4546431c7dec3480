"""What stands on a shelf, by title: a plan asks once for a title, and not for each of its objects.

What was found of a wanted title is remembered until an object of that title comes or goes: from plan to
plan few do. The memory is of the title that was last asked about, so there is no more of it than titles.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from sluice_appliance.object_key import ObjectKey, title_of
from sluice_appliance.store.layout import ObjectHeader

_NOTHING: Sequence[ObjectHeader] = ()


class Standing(NamedTuple):
    """What is held of a wanted title's objects. Shelves are named by their place in the plan's list."""

    # What each shelf holds as it is wanted; an object that several hold counts on the first.
    on: tuple[Sequence[ObjectHeader], ...]
    on_bytes: tuple[int, ...]
    missing: Sequence[ObjectHeader]
    missing_bytes: int
    # What it takes of the shelves when it is whole: all but what disks that take nothing serve.
    movable_bytes: int
    # The shelf with most of it; None where none has any.
    home: int | None
    # Some of what is missing has come in part.
    is_begun: bool


class HeldTitle:
    """The objects whose keys begin with the name of one title, of all its versions."""

    __slots__ = ("_asked", "_standing", "_where", "headers", "is_all_wanted")

    def __init__(self) -> None:
        self.headers: dict[ObjectKey, ObjectHeader] = {}
        # Of what was asked about last.
        self.is_all_wanted = False
        self._standing: Standing | None = None
        self._asked: Sequence[ObjectHeader] = _NOTHING
        self._where = (0, 0)

    def standing(self, objects: tuple[ObjectHeader, ...], where: tuple[int, int]) -> Standing:
        """Of a title of which nothing is elsewhere and nothing is under way. `where`: this is the
        n-th shelf of so many."""
        # The very same tuple of frozen headers: a manifest in force is asked about in every plan.
        if self._standing is None or self._asked is not objects or self._where != where:
            self._standing = self._look(objects, *where)
            self._asked, self._where = objects, where
        return self._standing

    def _look(self, objects: tuple[ObjectHeader, ...], shelf: int, shelves: int) -> Standing:
        here, missing = split(objects, self.headers)
        self.is_all_wanted = len(here) == len(self.headers)
        here_bytes, missing_bytes = size_of(here), size_of(missing)
        return Standing(
            on=tuple([here if i == shelf else _NOTHING for i in range(shelves)]),
            on_bytes=tuple([here_bytes if i == shelf else 0 for i in range(shelves)]),
            missing=missing,
            missing_bytes=missing_bytes,
            movable_bytes=here_bytes + missing_bytes,
            home=shelf if here_bytes or not missing else None,
            is_begun=False,
        )

    def changed(self) -> None:
        """To be called after each change of `headers`."""
        self._standing = None


class Holdings(Mapping[ObjectKey, ObjectHeader]):
    """Headers by their keys, and by title."""

    __slots__ = ("_count", "titles")

    def __init__(self, headers: Iterable[ObjectHeader] = ()) -> None:
        # By what their keys begin with; none is empty.
        self.titles: dict[str, HeldTitle] = {}
        self._count = 0
        for header in headers:
            self.put(header)

    def put(self, header: ObjectHeader) -> None:
        """Takes the place of one with the same key."""
        name = title_of(header.key)
        held = self.titles.get(name)
        if held is None:
            held = self.titles[name] = HeldTitle()
        self._count += header.key not in held.headers
        held.headers[header.key] = header
        held.changed()

    def pop(self, key: ObjectKey) -> ObjectHeader:
        """Raises KeyError."""
        name = title_of(key)
        held = self.titles[name]
        header = held.headers.pop(key)
        held.changed()
        self._count -= 1
        if not held.headers:
            del self.titles[name]
        return header

    def __getitem__(self, key: ObjectKey) -> ObjectHeader:
        return self.titles[title_of(key)].headers[key]

    def __iter__(self) -> Iterator[ObjectKey]:
        for held in self.titles.values():
            yield from held.headers

    def __len__(self) -> int:
        return self._count


def by_title(held: Mapping[ObjectKey, ObjectHeader]) -> Holdings:
    """`held` itself where it is by title already."""
    return held if isinstance(held, Holdings) else Holdings(held.values())


def size_of(objects: Sequence[ObjectHeader]) -> int:
    return sum([one.size_bytes for one in objects])


def split(
    objects: Sequence[ObjectHeader], held: Mapping[ObjectKey, ObjectHeader]
) -> tuple[Sequence[ObjectHeader], Sequence[ObjectHeader]]:
    """What of `objects` is held as it is wanted, and the rest."""
    here = [
        one
        for one in objects
        if (there := held.get(one.key)) is one or (there is not None and there == one)
    ]
    if not here:
        return _NOTHING, objects
    if len(here) == len(objects):
        return objects, _NOTHING
    keys = {one.key for one in here}
    return here, [one for one in objects if one.key not in keys]
