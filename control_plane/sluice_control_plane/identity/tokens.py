"""Decides whether an enrolment token may be used: known, unused, in time. Pure.

Only a token's digest is stored. The secret has 192 bits, so that a plain digest is enough.
"""

import hashlib
from dataclasses import dataclass

from sluice_control_plane.errors import InvalidRequest, TokenRefused

SECRET_BYTES = 24
TIME_TO_LIVE_DEFAULT_S = 3600.0
TIME_TO_LIVE_MAX_S = 30 * 24 * 3600.0
_TOKEN_CHARACTERS_MAX = 256


@dataclass(frozen=True, slots=True)
class EnrolmentToken:
    """A token as it is stored."""

    appliance_id: str
    expire_time: float
    # Fingerprint of the public key that used it; empty while nobody has.
    used_by: str


def digest_of(secret: str) -> str:
    """What is stored of a secret. Raises TokenRefused for text that no secret is."""
    if not 0 < len(secret) <= _TOKEN_CHARACTERS_MAX:
        raise TokenRefused(f"the token has {len(secret)} characters; ask for a new one")
    return hashlib.sha256(secret.encode()).hexdigest()


def time_to_live_s(asked_s: float) -> float:
    """How long a token lives. Raises InvalidRequest for less than nothing or more than the most."""
    if not 0 <= asked_s <= TIME_TO_LIVE_MAX_S:
        raise InvalidRequest(
            f"time_to_live is {asked_s:g} s, expected 0..{TIME_TO_LIVE_MAX_S:g} s (0: one hour)"
        )
    return asked_s or TIME_TO_LIVE_DEFAULT_S


def redeem(token: EnrolmentToken | None, key_fingerprint: str, now: float) -> str:
    """The appliance that may enrol. Raises TokenRefused.

    The key that used a token may use it again: a box that dies between our answer and its disk asks
    with the same key once more, and nobody else holds that key.
    """
    if token is None:
        raise TokenRefused("the token is not known; ask for a new one")
    if token.used_by not in ("", key_fingerprint):
        raise TokenRefused(
            f"the token of appliances/{token.appliance_id} was used; ask for a new one"
        )
    if now >= token.expire_time:
        raise TokenRefused(
            f"the token of appliances/{token.appliance_id} ended {now - token.expire_time:.0f} s "
            "ago; ask for a new one"
        )
    return token.appliance_id
