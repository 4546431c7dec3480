"""Decides for each request whether its token permits it.

A request that was permitted before (a player asks for range after range of a file) pays one look-up by
its target and a comparison of times, and of hosts where its token asks for more than a path. Otherwise its token is found by its bytes, and what it asks of the
URI is judged; a token that is new is verified. That is 0.4 us, 9 us and, signed with ES256, 200 us, on a
core that others used too (tests/appliance/tokens/cost.py).
"""

import enum
from dataclasses import dataclass

from sluice_appliance.serving import tally
from sluice_appliance.serving.tokens.cat import open_cat
from sluice_appliance.serving.tokens.claims import (
    TOKEN_BYTES_MAX,
    Asked,
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
# has one token for hours, and a worker at most 24,000 connections.
GENERATION_TOKENS_MAX = 16_384
# A player asks for range after range of a few files. Beyond it all are forgotten: each costs a few
# microseconds to find again.
PERMITS_MAX = 32_768
# Of a target and its host, so that all are 32 MiB at most: twice what a CAT in a path of ours comes to.
# What is longer is judged each time.
PERMIT_BYTES_MAX = 1024
# How far the clocks of who signs and of this box may be apart.
CLOCK_SKEW_S = 30.0

# Without it no target has a token.
_PARAMETER = b"="
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

    def refuses(self, asked: Asked) -> Refusal | None:
        """Whether the token is for another URI."""
        if not asked.path.startswith(self.path_prefix):
            begins = self.path_prefix[:80].decode(errors="replace")
            return Refusal(Reason.WRONG_PATH, f"the token is for {begins!r}")
        for rule in self.rules:
            reason = rule.refuses(asked)
            if reason is not None:
                return Refusal(reason, "the token is for another URI")
        return None


# From when to when a target is permitted, its path, and of which Host alone: None for whichever. A player
# sends the same one each time; a target that comes with another is judged again.
_Permit = tuple[float, float, bytes, bytes | None]


class Gate:
    """Judges requests. `row` is a worker's row of counters."""

    def __init__(self, keys: KeySet, policy: Policy, row: "memoryview[int]") -> None:
        self._keys = keys
        self._policy = policy
        self._row = row
        self._young: dict[bytes, _Held] = {}
        self._old: dict[bytes, _Held] = {}
        # Targets that were permitted.
        self._permits: dict[bytes, _Permit] = {}
        self.required = _required(policy.demand, keys)

    def renew(self, keys: KeySet) -> None:
        """Takes another key set; tokens of keys that are the same as before stay verified."""
        self._young = _of_same_keys(self._young, keys)
        self._old = _of_same_keys(self._old, keys)
        self._permits.clear()
        self._keys = keys
        self.required = _required(self._policy.demand, keys)

    def judge(self, target: bytes, host: bytes, now: float) -> bytes | Refusal:
        """What to answer: the target without its token, or why there is none.

        `target` as in the request line, `host` as in its field, `now` in seconds since 1970. Where no
        token is required, one that is there is taken off and not looked at.
        """
        known = self.recall(target, now, host)
        return self._judge_carefully(target, host, now) if known is None else known

    def recall(self, target: bytes, now: float, host: bytes | None = None) -> bytes | None:
        """The target without its token where it was permitted before, or needs none; None says nothing of
        it. What needs the host to be permitted is not recalled without."""
        permit = self._permits.get(target)
        if permit is not None:
            since, until, path, named = permit
            if since <= now < until and (named is None or named == host):
                self._row[tally.TOKEN_HITS] += 1
                return path
        elif not self.required and _PARAMETER not in target:
            return target
        return None

    def _judge_carefully(self, target: bytes, host: bytes, now: float) -> bytes | Refusal:
        origin_form, authority = split_absolute(target, host)
        found = find_token(origin_form)
        bare = origin_form if found is None else found.bare
        path = bare.partition(b"?")[0]
        if not self.required:
            return path
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
        refusal = held.refuses(read_uri(self._policy.scheme, authority, bare))
        if refusal is not None:
            return self._refuse(refusal)
        # What rules ask of the URI is said by target and host.
        if len(target) + len(host) <= PERMIT_BYTES_MAX:
            named = host if held.rules else None
            self._remember(target, (held.since, held.until, path, named))
        return path

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

    def _remember(self, target: bytes, permit: _Permit) -> None:
        if len(self._permits) >= PERMITS_MAX:
            self._row[tally.TOKEN_EVICTIONS] += len(self._permits)
            self._permits.clear()
        self._permits[target] = permit

    def _refuse(self, refusal: Refusal) -> Refusal:
        self._row[_CELLS[refusal.reason]] += 1
        return refusal


def _required(demand: Demand, keys: KeySet) -> bool:
    return keys.required if demand is Demand.FLEET else demand is Demand.REQUIRED


def _of_same_keys(held: dict[bytes, _Held], keys: KeySet) -> dict[bytes, _Held]:
    used = {each.key.key_id: each.key for each in held.values()}
    same = {key_id for key_id, key in used.items() if keys.find(key_id) == key}
    return {token: each for token, each in held.items() if each.key.key_id in same}
