"""A published title made of noise: media, HLS playlists and integrity.json as the encoder writes them."""

import hashlib
import json
import random
from dataclasses import dataclass, field

INIT_BYTES = 700


@dataclass
class Film:
    """Files by name, and what the playback API says of them."""

    title: str = "noise"
    version: str = "v000000000001"
    segment_s: float = 2.0
    segments: int = 5
    # Rendition to bits a second.
    ladder: dict[str, int] = field(
        default_factory=lambda: {"h264-360p": 400_000, "h264-720p": 1_600_000}
    )
    sound: bool = True
    files: dict[str, bytes] = field(default_factory=dict)

    def __post_init__(self) -> None:
        rng = random.Random(7)
        objects: dict[str, dict[str, object]] = {}
        for rendition, bits in self._renditions().items():
            size = int(bits * self.segment_s / 8)
            body = rng.randbytes(INIT_BYTES + size * self.segments)
            ranges = [(0, INIT_BYTES)] + [
                (INIT_BYTES + size * index, size) for index in range(self.segments)
            ]
            self._publish(objects, f"{rendition}.mp4", body, ranges)
            self._publish(objects, f"{rendition}.m3u8", self._playlist(rendition, ranges), [])
        self._publish(objects, "master.m3u8", self._master(), [])
        self.files["integrity.json"] = json.dumps(
            {"format": 1, "title": self.title, "version": self.version, "objects": objects}
        ).encode()

    @property
    def folder(self) -> str:
        return f"/{self.title}/{self.version}/"

    @property
    def duration_s(self) -> float:
        return self.segments * self.segment_s

    def _renditions(self) -> dict[str, int]:
        return {**self.ladder, **({"aac-128k": 128_000} if self.sound else {})}

    def _publish(
        self,
        objects: dict[str, dict[str, object]],
        file: str,
        body: bytes,
        ranges: list[tuple[int, int]],
    ) -> None:
        self.files[file] = body
        objects[file] = {
            "size_bytes": len(body),
            "sha256": hashlib.sha256(body).hexdigest(),
            "ranges": [
                [offset, size, hashlib.sha256(body[offset : offset + size]).hexdigest()]
                for offset, size in ranges
            ],
        }

    def _playlist(self, rendition: str, ranges: list[tuple[int, int]]) -> bytes:
        (_, init), *media = ranges
        lines = [
            "#EXTM3U",
            "#EXT-X-VERSION:6",
            f"#EXT-X-TARGETDURATION:{int(self.segment_s)}",
            "#EXT-X-PLAYLIST-TYPE:VOD",
            f'#EXT-X-MAP:URI="{rendition}.mp4",BYTERANGE="{init}@0"',
        ]
        for index, (offset, size) in enumerate(media):
            # As Shaka Packager writes it: the offset only where it does not follow.
            where = f"{size}@{offset}" if index == 0 else f"{size}"
            lines += [
                f"#EXTINF:{self.segment_s:.3f},",
                f"#EXT-X-BYTERANGE:{where}",
                f"{rendition}.mp4",
            ]
        return "\n".join([*lines, "#EXT-X-ENDLIST", ""]).encode()

    def _master(self) -> bytes:
        lines = ["#EXTM3U"]
        group = ""
        if self.sound:
            lines.append(
                '#EXT-X-MEDIA:TYPE=AUDIO,URI="aac-128k.m3u8",GROUP-ID="sound",'
                'LANGUAGE="en",NAME="sound",DEFAULT=YES,AUTOSELECT=YES,CHANNELS="2"'
            )
            group = ',AUDIO="sound"'
        for rendition, bits in self.ladder.items():
            lines += [
                f'#EXT-X-STREAM-INF:BANDWIDTH={bits},CODECS="avc1.4d401f,mp4a.40.2"{group}',
                f"{rendition}.m3u8",
            ]
        return "\n".join([*lines, ""]).encode()
