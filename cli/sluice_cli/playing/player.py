"""The player: asks, resolves, chooses, fetches, verifies, and keeps a viewer's clock."""

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from sluice_cli.deployment import Deployment
from sluice_cli.errors import BadArgument
from sluice_cli.playing import playback_api, whose
from sluice_cli.playing.abr import SAMPLE_MIN_BYTES, Rung, Throughput, choose
from sluice_cli.playing.errors import CannotGoOn, ManifestUnusable
from sluice_cli.playing.fetching import Fetched, HttpClient
from sluice_cli.playing.integrity import Expected, Integrity
from sluice_cli.playing.playback_api import Playback
from sluice_cli.playing.playback_clock import PlaybackClock
from sluice_cli.playing.playlists import (
    ByteRange,
    MediaPlaylist,
    Segment,
    Variant,
    read_master,
    read_media,
)
from sluice_cli.playing.report import PlayReport, PlayRequest
from sluice_cli.playing.resolving import SteeredResolver
from sluice_cli.playing.source import Source

Clock = Callable[[], float]
# A segment that begins this close to the end of another follows it: playlists round to microseconds.
_ROUNDING_S = 0.02


@dataclass(frozen=True, slots=True)
class Shown:
    """How far a play is: for progress bars."""

    ready_s: float
    total_s: float
    rendition_id: str
    address: str


Watcher = Callable[[Shown], None]


async def play(
    deployment: Deployment, request: PlayRequest, *, clock: Clock, watch: Watcher
) -> PlayReport:
    """Plays and says how it went, also when it could not go on. Raises PlaybackRefused where there is
    nothing to play, BadArgument for a rendition that the title does not have."""
    # Before the viewer's clock starts: names of appliances are for the report alone.
    places = await whose.appliances_by_address(deployment, request.title, request.client)
    opened_at = clock()
    playback = await playback_api.ask(deployment.gateway, request.title, request.client)
    host, _, port = deployment.dns.rpartition(":")
    resolver = SteeredResolver((host.strip("[]"), int(port)), client=request.client, clock=clock)
    async with HttpClient(clock) as http:
        source = Source(playback.pathways, resolver, http, clock)
        session = _Session(request, playback, source, clock, opened_at, watch)
        error: str | None = None
        try:
            await session.run()
        except (CannotGoOn, ManifestUnusable) as stopped:
            error = str(stopped)
        return session.report(places, error)


class _Session:
    """One viewer's way through one title."""

    def __init__(
        self,
        request: PlayRequest,
        playback: Playback,
        source: Source,
        clock: Clock,
        opened_at: float,
        watch: Watcher,
    ) -> None:
        self._request = request
        self._playback = playback
        self._source = source
        self._clock = clock
        self._opened_at = opened_at
        self._watch = watch
        self._viewer = PlaybackClock(opened_at=opened_at, buffer_limit_s=request.buffer_s)
        self._throughput = Throughput()
        self._integrity: Integrity | None = None
        self._playlists: dict[str, MediaPlaylist] = {}
        self._initialised: set[ByteRange] = set()
        self._segments: Counter[str] = Counter()
        self._media_bytes = 0
        self._media_fetch_s = 0.0
        self._played_s = 0.0

    async def run(self) -> None:
        fetched = await self._source.fetch(self._playback.integrity)
        self._integrity = Integrity.parse(fetched.body)
        master = self._playback.pathways[0].master
        variants = read_master(await self._text(master), file=master)
        variants = await self._allowed(variants)
        try:
            end_s = await self._play(variants)
        finally:
            self._viewer.last_media_arrived(self._clock())
        if self._request.realtime:
            unwatched_s = max(0.0, self._played_s - end_s)
            await asyncio.sleep(max(0.0, self._viewer.buffer_s(self._clock()) - unwatched_s))

    async def _allowed(self, variants: tuple[Variant, ...]) -> tuple[Variant, ...]:
        wanted = self._request.rendition
        if wanted is None:
            return variants
        ids = {}
        for variant in variants:
            ids[(await self._playlist(variant.playlist)).rendition_id] = variant
        if wanted not in ids:
            raise BadArgument(
                f"{self._request.title} has no rendition {wanted!r}; it has: {', '.join(ids)}"
            )
        return (ids[wanted],)

    async def _play(self, variants: tuple[Variant, ...]) -> float:
        """Returns where the film ended."""
        rungs = {Rung(variant.playlist, variant.bandwidth_bps): variant for variant in variants}
        current: Rung | None = None
        sound_s = 0.0
        while True:
            current = choose(
                list(rungs),
                throughput_bps=self._throughput.bps,
                buffer_s=self._viewer.buffer_s(self._clock()),
                current=current,
            )
            variant = rungs[current]
            picture = await self._playlist(variant.playlist)
            segment = _next(picture, self._played_s)
            end_s = self._end_s(picture)
            if segment is None or self._played_s >= end_s - _ROUNDING_S:
                return end_s
            await asyncio.sleep(self._viewer.room_in_s(segment.duration_s, self._clock()))
            fetched = await self._segment(picture, segment)
            if variant.audio_playlist is not None:
                sound = await self._playlist(variant.audio_playlist)
                sound_s = await self._sound_until(sound, sound_s, segment.ends_s)
            self._played_s = segment.ends_s
            self._viewer.media_arrived(segment.ends_s, self._clock())
            self._watch(
                Shown(
                    min(segment.ends_s, end_s),
                    end_s,
                    picture.rendition_id,
                    fetched.place.address,
                )
            )

    async def _sound_until(self, sound: MediaPlaylist, sound_s: float, until_s: float) -> float:
        while sound_s < until_s - _ROUNDING_S:
            segment = _next(sound, sound_s)
            if segment is None:
                break
            await self._segment(sound, segment)
            sound_s = segment.ends_s
        return sound_s

    async def _segment(self, playlist: MediaPlaylist, segment: Segment) -> Fetched:
        if playlist.init is not None and playlist.init not in self._initialised:
            await self._source.fetch(self._expected(playlist.init))
            self._initialised.add(playlist.init)
        fetched = await self._source.fetch(self._expected(segment.bytes))
        self._segments[playlist.rendition_id] += 1
        if len(fetched.body) >= SAMPLE_MIN_BYTES:
            self._media_bytes += len(fetched.body)
            self._media_fetch_s += fetched.seconds
            self._throughput.add(len(fetched.body), fetched.seconds)
        return fetched

    def _expected(self, where: ByteRange) -> Expected:
        assert self._integrity is not None
        if where.size_bytes is None:
            return self._integrity.of_file(where.file)
        return self._integrity.of_range(where.file, where.offset, where.size_bytes)

    async def _playlist(self, file: str) -> MediaPlaylist:
        if file not in self._playlists:
            self._playlists[file] = read_media(await self._text(file), file=file)
        return self._playlists[file]

    async def _text(self, file: str) -> str:
        assert self._integrity is not None
        fetched = await self._source.fetch(self._integrity.of_file(file))
        try:
            return fetched.body.decode()
        except UnicodeDecodeError as error:
            raise ManifestUnusable(f"{file}: byte {error.start} is not UTF-8") from None

    def _end_s(self, picture: MediaPlaylist) -> float:
        seconds = self._request.seconds
        return picture.duration_s if seconds is None else min(seconds, picture.duration_s)

    def report(self, places: whose.Places, error: str | None) -> PlayReport:
        source, viewer = self._source, self._viewer
        seconds = self._media_fetch_s
        return PlayReport(
            title=self._playback.title,
            client=self._request.client,
            segments=self._segments.total(),
            bytes=source.bytes_by_place.total(),
            seconds=round(self._played_s, 3),
            wall_s=round(self._clock() - self._opened_at, 3),
            startup_ms=round(viewer.startup_s * 1000),
            rebuffers=viewer.rebuffers,
            rebuffer_ms=round(viewer.rebuffer_s * 1000),
            throughput_mbps=round(self._media_bytes * 8 / seconds / 1e6, 3) if seconds else 0.0,
            appliances=whose.by_name(source.bytes_by_place, places),
            renditions=dict(sorted(self._segments.items())),
            failovers=source.failovers,
            faults={kind.value: count for kind, count in source.faults.items()},
            digest_ok=error is None,
            error=error,
        )


def _next(playlist: MediaPlaylist, after_s: float) -> Segment | None:
    """The first segment that shows something after `after_s`."""
    for segment in playlist.segments:
        if segment.ends_s > after_s + _ROUNDING_S:
            return segment
    return None
