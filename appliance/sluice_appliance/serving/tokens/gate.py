"""Decides for each request whether its token permits it.

A token is verified once and then found by its bytes; of a request that brings a known token, its times
and the beginning of its path are compared again, and every other rule where it has any. That is
REPLACED us for a known token, 90 us for a new one signed with ES256, 12 us with HS256
(tests/appliance/tokens/cost.py).
"""

import enum
from dataclasses import dataclass
from typing import NamedTuple

from sluice_appliance.serving import tally
from sluice_appliance.serving.tokens.cat import open_cat
from sluice_appliance.serving.tokens.claims import (
    TOKEN_BYTES_MAX,
    Reason,
    Refusal,
    Rule,
    TokenRefused,
)
from sluice_appliance.serving.tokens.keys import KeySet, TokenKey
from sluice_appliance.serving.tokens.uri import (
    CAT_PARAMETER,
    Found,
    find_token,
    read_uri,
    split_absolute,
)
from sluice_appliance.serving.tokens.uri_signing import open_jwt

# Twice as many are kept: two generations, of which the older goes when the younger is full. A viewer
# has one token for hours, and a worker at most 16,000 connections.
GENERATION_TOKENS_MAX = 16_384
# How far the clocks of who signs and of this box may be apart.
CLOCK_SKEW_S = 30.0

_AS_PARAMETER = b";" + CAT_PARAMETER + b"="
_AS_QUERY = b"?" + CAT_PARAMETER + b"="
_CELLS = {reason: tally.TOKEN_REFUSED_FIRST + at for at, reason in enumerate(Reason)}


class Demand(enum.Enum):
    """Whether requests need a token: the setting `tokens`."""

    # As the operator's key set says; not before there is one.
    FLEET = "fleet"
    OFF = "off"
    REQUIRED = "required"


@dataclass(frozen=True, slots=True)
class Policy:
    """What a gate goes by beside its keys."""

    demand: Demand
    # `http` or `https`: what this worker speaks.
    scheme: bytes
    # The names by which a token's `aud` may call us.
    audiences: frozenset[str] = frozenset()
    clock_skew_s: float = CLOCK_SKEW_S


class Permit(NamedTuple):
    """The request may be answered: `target` is its path, without token and query."""

    target: bytes


@dataclass(frozen=True, slots=True)
class _Held:
    """A token that was verified, and when it may be used, clock skew allowed."""

    since: float
    until: float
    path_prefix: bytes
    rules: tuple[Rule, ...]
    key: TokenKey
    # Why it cannot be used after `until`: its own time, or its key's.
    ended: Reason


class Gate:
    """Judges requests. `row` is a worker's row of counters."""

    def __init__(self, keys: KeySet, policy: Policy, row: "memoryview[int]") -> None:
        self._keys = keys
        self._policy = policy
        self._row = row
        self._young: dict[bytes, _Held] = {}
        self._old: dict[bytes, _Held] = {}
        self.required = _required(policy.demand, keys)

    def renew(self, keys: KeySet) -> None:
        """Takes another key set; tokens of keys that are the same as before stay verified."""
        self._young = _of_same_keys(self._young, keys)
        self._old = _of_same_keys(self._old, keys)
        self._keys = keys
        self.required = _required(self._policy.demand, keys)

    def judge(self, target: bytes, host: bytes, now: float) -> Permit | Refusal:
        """`target` as in the request line, `host` as in its field, `now` in seconds since 1970.

        Where no token is required, one that is there is taken off and not looked at.
        """
        # Nearly every request: a token of ours, known, whose one rule is how the path begins.
        folder, mark, rest = target.partition(_AS_PARAMETER)
        if mark:
            token, _, rest = rest.partition(b"/")
            path = (folder + b"/" + rest).partition(b"?")[0]
        else:
            path, _, token = target.partition(_AS_QUERY)
        held = self._young.get(token)
        if (
            (held is not None and held.since <= now < held.until and not held.rules)
            and (path.startswith(held.path_prefix) and b"%" not in path and path[:1] == b"/")
            and self.required
        ):
            self._row[tally.TOKEN_HITS] += 1
            return Permit(path)
        return self._judge_carefully(target, host, now)

    def _judge_carefully(self, target: bytes, host: bytes, now: float) -> Permit | Refusal:
        target, authority = split_absolute(target, host)
        found = find_token(target)
        bare = target if found is None else found.bare
        path = bare.partition(b"?")[0]
        if not self.required:
            return Permit(path)
        if found is None:
            return self._refuse(Refusal(Reason.MISSING, "the request has no token"))
        try:
            held = self._look_up(found)
        except TokenRefused as refused:
            return self._refuse(refused.refusal)
        if now < held.since:
            return self._refuse(Refusal(Reason.NOT_YET, f"in {held.since - now:.0f} s"))
        if now >= held.until:
            return self._refuse(Refusal(held.ended, f"ended {now - held.until:.0f} s ago"))
        asked = read_uri(self._policy.scheme, authority, bare)
        if not asked.path.startswith(held.path_prefix):
            begins = held.path_prefix[:80].decode(errors="replace")
            return self._refuse(Refusal(Reason.WRONG_PATH, f"the token is for {begins!r}"))
        for rule in held.rules:
            reason = rule.refuses(asked)
            if reason is not None:
                return self._refuse(Refusal(reason, "the token is for another URI"))
        return Permit(path)

    def _look_up(self, found: Found) -> _Held:
        """The token as it was verified, now or before. Raises TokenRefused."""
        held = self._young.get(found.token) or self._old.get(found.token)
        if held is None:
            self._row[tally.TOKEN_MISSES] += 1
            held = self._verify(found)
        else:
            self._row[tally.TOKEN_HITS] += 1
        if found.token not in self._young:
            self._keep(found.token, held)
        return held

    def _verify(self, found: Found) -> _Held:
        if len(found.token) > TOKEN_BYTES_MAX:
            raise TokenRefused(
                Reason.MALFORMED, f"{len(found.token)} bytes of token, at most {TOKEN_BYTES_MAX}"
            )
        opens = open_cat if found.name == CAT_PARAMETER else open_jwt
        grant, key = opens(found.token, self._keys, self._policy.audiences)
        return _Held(
            max(grant.since, key.not_before) - self._policy.clock_skew_s,
            min(grant.until, key.not_after) + self._policy.clock_skew_s,
            grant.path_prefix,
            grant.rules,
            key,
            Reason.EXPIRED if grant.until <= key.not_after else Reason.UNKNOWN_KEY,
        )

    def _keep(self, token: bytes, held: _Held) -> None:
        if len(self._young) >= GENERATION_TOKENS_MAX:
            self._row[tally.TOKEN_EVICTIONS] += len(self._old)
            self._old, self._young = self._young, {}
        self._young[token] = held

    def _refuse(self, refusal: Refusal) -> Refusal:
        self._row[_CELLS[refusal.reason]] += 1
        return refusal


def _required(demand: Demand, keys: KeySet) -> bool:
    return keys.required if demand is Demand.FLEET else demand is Demand.REQUIRED


def _of_same_keys(held: dict[bytes, _Held], keys: KeySet) -> dict[bytes, _Held]:
    used = {each.key.key_id: each.key for each in held.values()}
    same = {key_id for key_id, key in used.items() if keys.find(key_id) == key}
    return {token: each for token, each in held.items() if each.key.key_id in same}
