"""What a token grants, whatever its format, and why a request is refused: the words of this folder.

A grant is what is left of a token once its signature was checked: from when to when, and which URIs.
Its rules are asked again for each request, in about a microsecond; its signature is not.
"""

import enum
from dataclasses import dataclass
from typing import NamedTuple, Protocol

# Longer ones are refused unread. A CAT of ours has 200 bytes; ones with every claim stay under 2 KiB.
TOKEN_BYTES_MAX = 4096
# Every whole second until the year 287396; beyond it a float no longer holds each of them.
_TIME_MAX = 2**53


class Reason(enum.Enum):
    """Why a request is refused; the label of its counter. The client is told 403 and no more."""

    MISSING = "missing"
    MALFORMED = "malformed"
    UNKNOWN_KEY = "unknown_key"
    FORGED = "forged"
    EXPIRED = "expired"
    NOT_YET = "not_yet"
    WRONG_PATH = "wrong_path"
    WRONG_HOST = "wrong_host"
    WRONG_ISSUER = "wrong_issuer"
    WRONG_AUDIENCE = "wrong_audience"
    UNSUPPORTED = "unsupported"


class Refusal(NamedTuple):
    """For the log and the counters; never for the client."""

    reason: Reason
    detail: str


class TokenRefused(Exception):
    """The token grants nothing, whatever is asked with it."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(detail)
        self.refusal = Refusal(reason, detail)


class Asked(NamedTuple):
    """The URI of a request, without the token."""

    scheme: bytes
    host: bytes
    port: bytes
    # Escapes resolved, as the store will look for it.
    path: bytes
    query: bytes
    # As it was sent: scheme, authority, path and query.
    uri: bytes


class Rule(Protocol):
    """One thing that a token asks of the URI."""

    def refuses(self, asked: Asked) -> Reason | None: ...


@dataclass(frozen=True, slots=True)
class Grant:
    """`since` and `until` are what the token says, in seconds since 1970, without any allowance."""

    since: float
    until: float
    # What the path begins with: the one rule that nearly every token has, judged without `Asked`.
    path_prefix: bytes
    rules: tuple[Rule, ...]


def time_claim(claim: object, name: str) -> float:
    """A NumericDate (RFC 7519, 2): a number of seconds, whole or not. Raises TokenRefused."""
    if (
        isinstance(claim, bool)
        or not isinstance(claim, int | float)
        or not -_TIME_MAX <= claim <= _TIME_MAX
    ):
        raise TokenRefused(Reason.MALFORMED, f"{name} is {str(claim)[:40]}, expected seconds")
    return float(claim)


def check_issuer(claim: object, issuer: str) -> None:
    """A token may leave out who made it, for its key says so; it may not name another (RFC 9246, 2.1.1)."""
    if claim != issuer:
        said = str(claim)[:80]
        raise TokenRefused(Reason.WRONG_ISSUER, f"iss is {said!r}, its key is of {issuer!r}")


def check_audience(claim: object, audiences: frozenset[str]) -> None:
    """RFC 8392, 3.1.3 and RFC 7519, 4.1.3: one of those named must be us, where any is named."""
    named = claim if isinstance(claim, list) else [claim]
    if not any(isinstance(each, str) and each in audiences for each in named):
        raise TokenRefused(Reason.WRONG_AUDIENCE, f"aud is {str(claim)[:80]}, and not this CDN")
