"""What a client that loads a server has seen of it, whichever client it was."""

from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
CLIENT_CORE = "1"
# One suite and one group for every server, so that all do the same work (see the file).
OPENSSL = {"OPENSSL_CONF": str(HERE / "openssl.cnf")}


class LoadFailed(Exception):
    """Requests failed, or the client's words are not understood."""


@dataclass(frozen=True, slots=True)
class Load:
    """`requests` were answered in `seconds`; how long one took, where the client tells. `refused` were
    answered with something else than the object, and are not among `requests`."""

    requests: int
    seconds: float
    p50_ms: float | None = None
    p99_ms: float | None = None
    refused: int = 0

    @property
    def requests_per_s(self) -> float:
        return self.requests / self.seconds
