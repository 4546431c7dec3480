"""How long and how much a serving worker lets a client take. Each excess has a counter in `tally.py`."""

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Limits:
    # Per worker; the descriptors that the system allows may make it fewer. Some 600 bytes each while
    # idle: 15,000 stay well below where they run out.
    connections: int = 24_000
    # Of one client network (`clients.py`), per worker; 0: no such limit. A carrier's NAT puts up to 64
    # homes behind one address and a browser opens 6 connections to a host: 384, rounded up.
    client_connections: int = 512
    # Objects kept open. A player's pause between segments is short: what is hot stays.
    open_files: int = 2_000
    # Between requests. Players ask for a segment every few seconds; a paused one may connect anew.
    request_s: float = 60.0
    # The same while connections run out (`slowness.py`): long enough for the next segment.
    crowded_request_s: float = 10.0
    # From the first byte of a request head to its end, however it trickles (slowloris).
    head_s: float = 10.0
    # Without one byte taken by a client that has bytes to take.
    write_s: float = 30.0
    # For bytes that a disk must give. A disk that hangs gives none at all.
    disk_s: float = 30.0
    # What a client must take of what it is sent, on average over so long, while connections run out.
    # The lowest rung of a ladder is some 100 kbit/s: no film can be watched at a third of that.
    pace_bytes_per_s: int = 4 * 1024
    pace_s: float = 60.0
    handshake_s: float = 10.0
    # How long sessions are sealed with the same keys (`ticket_keys.py`).
    ticket_keys_s: float = 86_400.0
    # From our last byte to the client's close, so that a refusal is not lost to a reset.
    close_s: float = 2.0
    # From being told to stop to breaking off responses.
    drain_s: float = 3.0
    # Being told to stop, how long a connection must have been silent: a request on its way arrives
    # within a round trip.
    drain_idle_s: float = 0.5
    # The same two for a worker whose place another has taken. Nobody waits for it to end: a segment has
    # time to arrive on the slowest link, and a player to ask for its next one.
    retire_s: float = 120.0
    retire_idle_s: float = 15.0

    def __post_init__(self) -> None:
        """Raises ValueError that begins with the limit's name."""
        for name, value in ((name, getattr(self, name)) for name in Limits.__slots__):
            if name == "client_connections":
                if value < 0:
                    raise ValueError(f"{name} is {value}, expected 0 or more")
            elif name.endswith("_s"):
                if not value > 0:
                    raise ValueError(f"{name} is {value}, expected more than 0")
            elif value < 1:
                raise ValueError(f"{name} is {value}, expected 1 or more")


def retiring(limits: Limits) -> Limits:
    """The limits of a worker whose place another has taken."""
    return replace(limits, drain_s=limits.retire_s, drain_idle_s=limits.retire_idle_s)
