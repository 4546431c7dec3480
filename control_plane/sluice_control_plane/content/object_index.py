"""Finds one object of a title by its key, without looking through all objects of the title each time."""

from collections import OrderedDict

from sluice.content.v1 import content_pb2
from sluice_control_plane.content.titles import version_name

# Titles that boxes miss something of at a time; a title has some forty objects, 20,000 at most.
TITLES_MAX = 256


class ObjectIndex:
    """Indexes a title when it is asked for, and forgets the one that was asked for longest ago."""

    def __init__(self, titles_max: int = TITLES_MAX) -> None:
        self._titles_max = titles_max
        self._known: OrderedDict[str, tuple[content_pb2.Title, dict[str, int]]] = OrderedDict()

    def position(self, title: content_pb2.Title, key: str) -> int | None:
        """Where the object stands in the title; None where the title has none of that name."""
        name = version_name(title)
        known = self._known.get(name)
        # A title that was read again is another one.
        if known is None or known[0] is not title:
            known = title, {item.key: position for position, item in enumerate(title.objects)}
            self._known[name] = known
            if len(self._known) > self._titles_max:
                self._known.popitem(last=False)
        self._known.move_to_end(name)
        return known[1].get(key)


def version_in(key: str) -> str:
    """`title/version` of an object's key; empty for text that is none."""
    parts = key.split("/", 2)
    return "/".join(parts[:2]) if len(parts) == 3 else ""
