"""Reads HLS playlists (RFC 8216) into what the player needs: the one place that speaks to m3u8. Pure."""

import posixpath
import re
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

import m3u8

from sluice_cli.playing.errors import ManifestUnusable

# A day of two-second segments; more is not a film.
SEGMENTS_MAX = 50_000
RENDITIONS_MAX = 100

_BYTE_RANGE = re.compile(r"(?P<size>\d{1,15})(?:@(?P<offset>\d{1,15}))?")


@dataclass(frozen=True, slots=True)
class ByteRange:
    """Bytes of a published file; the whole file when `size_bytes` is None."""

    file: str
    offset: int
    size_bytes: int | None


@dataclass(frozen=True, slots=True)
class Segment:
    """A few seconds of a rendition."""

    starts_s: float
    duration_s: float
    bytes: ByteRange

    @property
    def ends_s(self) -> float:
        return self.starts_s + self.duration_s


@dataclass(frozen=True, slots=True)
class MediaPlaylist:
    """All segments of one rendition, and what a decoder needs before them."""

    rendition_id: str
    init: ByteRange | None
    segments: tuple[Segment, ...]

    @property
    def duration_s(self) -> float:
        return self.segments[-1].ends_s


@dataclass(frozen=True, slots=True)
class Variant:
    """One line of the ladder."""

    playlist: str
    bandwidth_bps: int
    audio_playlist: str | None


def read_master(text: str, *, file: str) -> tuple[Variant, ...]:
    """The ladder of a multivariant playlist, lowest first. Raises ManifestUnusable."""
    playlist = _parse(text, file)
    if not playlist.is_variant:
        raise ManifestUnusable(f"{file} names no variant streams")
    if len(playlist.playlists) > RENDITIONS_MAX:
        raise ManifestUnusable(
            f"{file} names {len(playlist.playlists)} variants, expected at most {RENDITIONS_MAX}"
        )
    audio = {
        media.group_id: media.uri
        for media in reversed(playlist.media)
        if media.type == "AUDIO" and media.uri
    }
    audio |= {
        media.group_id: media.uri
        for media in playlist.media
        if media.type == "AUDIO" and media.uri and media.default == "YES"
    }
    variants = []
    for entry in playlist.playlists:
        uri = audio.get(entry.stream_info.audio)
        variants.append(
            Variant(
                playlist=_file_of(entry.uri, beside=file),
                bandwidth_bps=int(entry.stream_info.bandwidth),
                audio_playlist=None if uri is None else _file_of(uri, beside=file),
            )
        )
    return tuple(sorted(variants, key=lambda variant: variant.bandwidth_bps))


def read_media(text: str, *, file: str) -> MediaPlaylist:
    """The segments of one rendition. Raises ManifestUnusable."""
    playlist = _parse(text, file)
    if not playlist.segments:
        raise ManifestUnusable(f"{file} names no segments")
    if len(playlist.segments) > SEGMENTS_MAX:
        raise ManifestUnusable(
            f"{file} names {len(playlist.segments)} segments, expected at most {SEGMENTS_MAX}"
        )
    if not playlist.is_endlist:
        raise ManifestUnusable(f"{file} has no end (EXT-X-ENDLIST); live streams are not played")
    segments: list[Segment] = []
    # RFC 8216 4.3.2.2: without an offset, a range begins where the last one of its file ended.
    ends: dict[str, int] = {}
    starts_s = 0.0
    for entry in playlist.segments:
        where = _range(entry.byterange, _file_of(entry.uri, beside=file), ends, file)
        if not entry.duration or entry.duration < 0:
            raise ManifestUnusable(f"{file}: a segment of {entry.duration} s, expected more than 0")
        segments.append(Segment(starts_s, entry.duration, where))
        starts_s += entry.duration
    maps = {
        (entry.init_section.uri, entry.init_section.byterange)
        for entry in playlist.segments
        if entry.init_section
    }
    if len(maps) > 1:
        raise ManifestUnusable(f"{file} has {len(maps)} EXT-X-MAP, expected at most one")
    init = None
    for uri, byte_range in maps:
        init = _range(byte_range, _file_of(uri, beside=file), {}, file)
    media_file = segments[0].bytes.file
    return MediaPlaylist(
        posixpath.splitext(posixpath.basename(media_file))[0], init, tuple(segments)
    )


def _parse(text: str, file: str) -> m3u8.M3U8:
    if not text.startswith("#EXTM3U"):
        raise ManifestUnusable(f"{file} is not an HLS playlist: no #EXTM3U")
    try:
        return m3u8.M3U8(text)
    except Exception as error:  # m3u8 lets ValueError, KeyError, IndexError and its own escape
        raise ManifestUnusable(f"{file} is malformed: {error!r}") from None


def _range(text: str | None, media_file: str, ends: dict[str, int], file: str) -> ByteRange:
    if text is None:
        return ByteRange(media_file, 0, None)
    match = _BYTE_RANGE.fullmatch(text)
    if match is None:
        raise ManifestUnusable(f"{file}: byte range {text!r}, expected LENGTH[@OFFSET]")
    size = int(match["size"])
    offset = int(match["offset"]) if match["offset"] else ends.get(media_file, 0)
    if size == 0:
        raise ManifestUnusable(f"{file}: byte range {text!r} is empty")
    ends[media_file] = offset + size
    return ByteRange(media_file, offset, size)


def _file_of(uri: str, *, beside: str) -> str:
    """The published file that a relative URI means. Raises ManifestUnusable outside of the title."""
    parts = urlsplit(uri)
    file = posixpath.normpath(posixpath.join(posixpath.dirname(beside), unquote(parts.path)))
    if parts.scheme or parts.netloc or file.startswith(("/", "..")) or file == ".":
        raise ManifestUnusable(f"{beside} names {uri!r}, which is not a file of the title")
    return file
