"""What a play was: the facts that `sluice play --json` prints. Pure."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PlayRequest:
    """What to play, as whom, and how."""

    title: str
    client: str | None
    # Film to play; all of it when None.
    seconds: float | None
    # One rendition throughout; chosen segment by segment when None.
    rendition: str | None
    # Whether to wait until everything has been shown.
    realtime: bool
    buffer_s: float


@dataclass(frozen=True, slots=True)
class PlayReport:
    """How it went. `appliances` and `renditions` are ordered by name."""

    title: str
    client: str | None
    # Of all renditions that were played, sound included.
    segments: int
    # All that was used: segments, what decoders need before them, and manifests.
    bytes: int
    # Of film.
    seconds: float
    # Of the clock on the wall.
    wall_s: float
    startup_ms: int
    rebuffers: int
    rebuffer_ms: int
    throughput_mbps: float
    # Bytes by appliance, or by address where nobody knows whose it is.
    appliances: Mapping[str, int]
    # Segments by rendition.
    renditions: Mapping[str, int]
    failovers: int
    # Failed requests by what was wrong.
    faults: Mapping[str, int]
    # Whether the play came to its end with every byte verified.
    digest_ok: bool
    # Why it did not; None when it did.
    error: str | None

    def as_json(self) -> dict[str, object]:
        return dataclasses.asdict(self)
