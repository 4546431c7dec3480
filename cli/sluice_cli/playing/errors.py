"""What goes wrong in a play, grouped by what the player does next."""

from enum import Enum

from sluice_cli.errors import DeskError


class PlaybackRefused(DeskError):
    """The playback API did not name anything to play. Nothing was played."""


class FaultKind(Enum):
    """Why an address did not give what was asked of it."""

    REFUSED = "refused"
    STALLED = "stalled"
    TRUNCATED = "truncated"
    OVERLONG = "overlong"
    STATUS = "status"
    WRONG_BYTES = "wrong bytes"


class FetchFault(Exception):
    """One address failed: try another one."""

    def __init__(self, kind: FaultKind, message: str) -> None:
        super().__init__(message)
        self.kind = kind


class NameUnresolved(Exception):
    """DNS named nobody: try another name."""


class CannotGoOn(Exception):
    """Every address of every pathway failed: the play ends here."""

    def __init__(self, message: str, *, wrong_bytes: bool) -> None:
        super().__init__(message)
        # Whether bytes came that were not the published ones, so that nothing was verified.
        self.wrong_bytes = wrong_bytes


class ManifestUnusable(Exception):
    """What was published cannot be played or verified: another address would not help."""
