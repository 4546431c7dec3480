"""Room of one disk that was given to objects on their way in: nobody else may have it until they are done.

An object counts with all its bytes where the disk's capacity is asked about, and with those that are not
written yet where the file system is: that has counted the others itself.
"""

from collections.abc import Callable


class Promises:
    """Bytes by the path of the partial file. There are as many as objects are being received."""

    __slots__ = ("_size_bytes",)

    def __init__(self) -> None:
        self._size_bytes: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._size_bytes)

    def give(self, path: str, size_bytes: int) -> None:
        self._size_bytes[path] = size_bytes

    def take_back(self, path: str) -> None:
        """It was published, or is received no more. May be said twice."""
        self._size_bytes.pop(path, None)

    def promised_bytes(self, but: str) -> int:
        """Of all objects but one."""
        return sum(size for path, size in self._of_others(but))

    def unwritten_bytes(self, but: str, written_bytes: Callable[[str], int]) -> int:
        """What all objects but one will still take of the file system."""
        return sum(max(0, size - written_bytes(path)) for path, size in self._of_others(but))

    def _of_others(self, but: str) -> list[tuple[str, int]]:
        return [each for each in self._size_bytes.items() if each[0] != but]
