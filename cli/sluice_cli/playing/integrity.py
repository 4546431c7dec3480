"""Decides whether bytes are the published ones, from a title's `integrity.json`. Pure."""

import hashlib
import json
from dataclasses import dataclass
from typing import Any

from sluice_cli.playing.errors import ManifestUnusable

FORMAT = 1


@dataclass(frozen=True, slots=True)
class Expected:
    """What one fetch must give."""

    file: str
    # None for a whole object.
    offset: int | None
    size_bytes: int
    sha256: str

    def is_met_by(self, body: bytes) -> bool:
        return len(body) == self.size_bytes and hashlib.sha256(body).hexdigest() == self.sha256


class Integrity:
    """The digests of one version of a title: of each file and of each range that playlists name."""

    def __init__(self, table: Any) -> None:
        """Raises ManifestUnusable for anything but format 1."""
        try:
            if table["format"] != FORMAT:
                raise ManifestUnusable(
                    f"integrity.json is of format {table['format']!r}, expected {FORMAT}"
                )
            self.title = str(table["title"])
            self.version = str(table["version"])
            self._files: dict[str, Expected] = {}
            self._ranges: dict[tuple[str, int, int], Expected] = {}
            for file, entry in table["objects"].items():
                self._take(str(file), entry)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ManifestUnusable(f"integrity.json is malformed: {error!r}") from None

    @classmethod
    def parse(cls, body: bytes) -> "Integrity":
        try:
            table = json.loads(body)
        except ValueError as error:
            raise ManifestUnusable(f"integrity.json is malformed: {error}") from None
        return cls(table)

    def of_file(self, file: str) -> Expected:
        """Raises ManifestUnusable for a file that was not published."""
        try:
            return self._files[file]
        except KeyError:
            raise ManifestUnusable(f"integrity.json does not name {file}") from None

    def of_range(self, file: str, offset: int, size_bytes: int) -> Expected:
        """Raises ManifestUnusable for a range that was not published."""
        try:
            return self._ranges[file, offset, size_bytes]
        except KeyError:
            raise ManifestUnusable(
                f"integrity.json has no digest of {file} bytes {offset}-{offset + size_bytes - 1}"
            ) from None

    def _take(self, file: str, entry: Any) -> None:
        self._files[file] = Expected(
            file, None, _natural(entry["size_bytes"]), _digest(entry["sha256"])
        )
        for offset, size_bytes, sha256 in entry["ranges"]:
            expected = Expected(file, _natural(offset), _natural(size_bytes), _digest(sha256))
            self._ranges[file, offset, size_bytes] = expected


def _natural(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ValueError(f"{value!r}, expected a whole number from 0")
    return value


def _digest(value: Any) -> str:
    if not isinstance(value, str) or len(value) != 64 or set(value) - set("0123456789abcdef"):
        raise ValueError(f"{value!r}, expected 64 lower-case hex digits")
    return value
