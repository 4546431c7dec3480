"""Reads the packager's manifests, and makes them the same whenever their content is."""

import re
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass

_DASH = "{urn:mpeg:dash:schema:mpd:2011}"
_ADAPTATION_SET_ID = re.compile(r'(<AdaptationSet id=")\d+(")')
_RANGE = re.compile(r"(?P<size>\d+)(?:@(?P<offset>\d+))?")
_MAP = re.compile(r'#EXT-X-MAP:.*?URI="(?P<uri>[^"]+)".*?BYTERANGE="(?P<range>[^"]+)"')


@dataclass(frozen=True, slots=True)
class ByteRange:
    """`size` bytes of `file` from `offset`."""

    file: str
    offset: int
    size: int


@dataclass(frozen=True, slots=True)
class Representation:
    """What the DASH manifest says of one file."""

    file: str
    codecs: str
    # BCP 47, empty where none is said.
    language: str
    bandwidth: int


def with_stable_ids(mpd: str) -> str:
    """The packager numbers adaptation sets in the order its threads get there; we count from 0."""
    numbers = iter(range(len(mpd)))
    return _ADAPTATION_SET_ID.sub(lambda m: f"{m[1]}{next(numbers)}{m[2]}", mpd)


def with_default_audio(master: str) -> str:
    """There is one sound for each title. Unless it has a language the packager does not call it the
    default, and some players then play none."""
    return re.sub(r"(#EXT-X-MEDIA:TYPE=AUDIO,.*DEFAULT=)NO", r"\1YES", master)


def representations(mpd: str) -> dict[str, Representation]:
    """By file name. Raises ValueError for what is no on-demand manifest."""
    found: dict[str, Representation] = {}
    try:
        root = ElementTree.fromstring(mpd)
    except ElementTree.ParseError as error:
        raise ValueError(f"manifest.mpd: {error}") from None
    for group in root.iter(f"{_DASH}AdaptationSet"):
        for each in group.iter(f"{_DASH}Representation"):
            file = each.findtext(f"{_DASH}BaseURL")
            if not file:
                raise ValueError(f"manifest.mpd: representation {each.get('id')} names no file")
            found[file] = Representation(
                file,
                each.get("codecs", ""),
                group.get("lang", ""),
                int(each.get("bandwidth", "0")),
            )
    return found


def byte_ranges(playlist: str) -> tuple[ByteRange, ...]:
    """What a media playlist asks a player to fetch, in order (RFC 8216, 4.3.2.2 and 4.3.2.5).

    A range without an offset begins where the one before it in the same file ended.
    """
    found: list[ByteRange] = []
    pending: str | None = None
    for line in playlist.splitlines():
        if mapped := _MAP.match(line):
            found.append(_range(mapped["range"], mapped["uri"], None))
        elif line.startswith("#EXT-X-BYTERANGE:"):
            pending = line.removeprefix("#EXT-X-BYTERANGE:").strip()
        elif line.strip() and not line.startswith("#"):
            if pending is None:
                raise ValueError(f"segment {line!r} has no byte range")
            found.append(_range(pending, line.strip(), found[-1] if found else None))
            pending = None
    return tuple(found)


def playlist_duration_s(playlist: str) -> float:
    """The sum of its segments."""
    return sum(float(text) for text in re.findall(r"#EXTINF:([\d.]+)", playlist))


def _range(text: str, file: str, before: ByteRange | None) -> ByteRange:
    parsed = _RANGE.fullmatch(text)
    if parsed is None:
        raise ValueError(f"byte range {text!r}, expected SIZE or SIZE@OFFSET")
    if parsed["offset"] is not None:
        return ByteRange(file, int(parsed["offset"]), int(parsed["size"]))
    if before is None or before.file != file:
        raise ValueError(f"byte range {text!r} of {file} follows none of the same file")
    return ByteRange(file, before.offset + before.size, int(parsed["size"]))
