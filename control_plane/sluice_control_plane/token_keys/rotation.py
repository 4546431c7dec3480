"""Decides which keys sign and check access tokens, and when another follows. Pure.

A key is announced three days before it signs, so that a box that was cut off for less knows it; and it
checks tokens for as long after its last day as any of them may be used: the longest life of a URL, and
the three days for which a playback service may sign on without us.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from sluice_control_plane.errors import TooMany

DAY_S = 24 * 3600.0
# What every program promises to go on for without the control plane.
AUTONOMY_S = 3 * DAY_S
# A key signs for so long.
SIGNS_FOR_S = 7 * DAY_S
# The most that a playback service may set as `url_lifetime_s`.
TOKEN_LIFE_MAX_S = 7 * DAY_S
CHECKS_ON_FOR_S = AUTONOMY_S + TOKEN_LIFE_MAX_S
# From an operator's word to the new key's first token: every box that is there has heard of it.
HEARD_WITHIN_S = 60.0
# Rotating by hand more often than this many times in ten days is a mistake.
KEYS_MAX = 32


@dataclass(frozen=True, slots=True)
class TokenKey:
    """When a key begins to sign, and when it checks no more; times are seconds since 1970."""

    key_id: str
    sign_time: float
    expire_time: float | None


@dataclass(frozen=True, slots=True)
class Rotation:
    """The keys to keep, and when a new one is to begin signing; None while none is due."""

    keys: tuple[TokenKey, ...]
    next_sign_time: float | None


def rotate(keys: Sequence[TokenKey], now: float) -> Rotation:
    """What is due: keys that ended go, and a successor is announced in time."""
    kept = tuple(key for key in keys if key.expire_time is None or key.expire_time > now)
    if not kept:
        return Rotation((), now)
    newest = max(key.sign_time for key in kept)
    if now < newest + SIGNS_FOR_S - AUTONOMY_S:
        return Rotation(kept, None)
    return _followed(kept, max(newest + SIGNS_FOR_S, now + AUTONOMY_S))


def rotate_now(keys: Sequence[TokenKey], now: float, *, revoke: bool) -> Rotation:
    """An operator does not wait. With `revoke`, tokens of all other keys end as the new one begins.

    Raises TooMany.
    """
    due = rotate(keys, now)
    begins = now + HEARD_WITHIN_S
    # One that was announced and has not signed yet is not needed any more.
    used = tuple(key for key in due.keys if key.sign_time <= now)
    if len(used) >= KEYS_MAX:
        raise TooMany(f"{len(used)} token keys are in use; wait until the first of them ends")
    if revoke:
        return Rotation(tuple(replace(key, expire_time=begins) for key in used), begins)
    return _followed(used, begins)


def _followed(keys: tuple[TokenKey, ...], sign_time: float) -> Rotation:
    """Keys without an end get one, for another follows them."""
    ends = sign_time + CHECKS_ON_FOR_S
    return Rotation(
        tuple(
            key if key.expire_time is not None else replace(key, expire_time=ends) for key in keys
        ),
        sign_time,
    )
