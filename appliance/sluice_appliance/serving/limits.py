"""How long and how much a serving worker lets a client take. Each excess has a counter in `tally.py`."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    # Per worker; the descriptors that the system allows may make it fewer.
    connections: int = 16_000
    # Objects kept open. A player's pause between segments is short: what is hot stays.
    open_files: int = 2_000
    # Between requests. Players ask for a segment every few seconds; a paused one may connect anew.
    request_s: float = 60.0
    # From the first byte of a request head to its end, however it trickles (slowloris).
    head_s: float = 10.0
    # Without one byte taken by a client that has bytes to take.
    write_s: float = 30.0
    handshake_s: float = 10.0
    # From our last byte to the client's close, so that a refusal is not lost to a reset.
    close_s: float = 2.0
    # From being told to stop to breaking off responses.
    drain_s: float = 3.0

    def __post_init__(self) -> None:
        for name in ("connections", "open_files"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}, expected 1 or more")
        for name in ("request_s", "head_s", "write_s", "handshake_s", "close_s", "drain_s"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} is {getattr(self, name)}, expected more than 0")
