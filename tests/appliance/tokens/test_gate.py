"""The gate: who may have which path, for how long, and what a token that is known costs."""

from itertools import pairwise
from typing import Any
from urllib.parse import unquote_to_bytes

import pytest
from appliance.tokens.minting import (
    CATU,
    EC_KEY,
    ES256,
    EXP,
    NBF,
    NOW,
    SECRET_KEY,
    cat,
    jwt,
    key_set,
)
from hypothesis import given
from hypothesis import strategies as st

from sluice_appliance.metrics import SERVING
from sluice_appliance.serving import tally
from sluice_appliance.serving.tokens import gate as gates
from sluice_appliance.serving.tokens.claims import TOKEN_BYTES_MAX, Reason, Refusal
from sluice_appliance.serving.tokens.gate import CLOCK_SKEW_S, Demand, Gate, Policy
from sluice_appliance.serving.tokens.keys import KeySet
from sluice_appliance.serving.tokens.patterns import compile_pattern
from sluice_runtime.counters import CounterSpec, SharedCounters, index_of

HOST = b"b0173.v.example:8081"
PATH = b"/film/v1/video.mp4"
FOR_FILM = {EXP: NOW + 3600, CATU: {3: {1: "/film/"}}}
TOKEN = cat(FOR_FILM, alg=ES256)


def in_path(token: bytes, rest: bytes = b"/v1/video.mp4") -> bytes:
    return b"/film;CAT=" + token + rest


def in_query(token: bytes, path: bytes = PATH) -> bytes:
    return path + b"?CAT=" + token


class Judged:
    """A gate and its counters."""

    def __init__(
        self, keys: bytes = key_set(), demand: Demand = Demand.FLEET, **policy: Any
    ) -> None:
        self.row = memoryview(bytearray(tally.CELLS * 8)).cast("Q")
        self.gate = Gate(KeySet.from_bytes(keys), Policy(demand, b"http", **policy), self.row)

    def says(self, target: bytes, now: float = NOW, host: bytes = HOST) -> bytes | Reason:
        """The path that is permitted, or why there is none."""
        answer = self.gate.judge(target, host, now)
        return answer.reason if isinstance(answer, Refusal) else answer


@pytest.mark.parametrize(
    "target",
    [
        in_path(TOKEN),
        b"/;CAT=" + TOKEN + PATH,
        in_query(TOKEN),
        in_path(TOKEN, b"/v1/video.mp4?CMCD=br%3D1"),
        PATH + b"?a=1&CAT=" + TOKEN,
        in_query(TOKEN) + b"&a=1",
        b"http://b0173.v.example" + in_query(TOKEN),
    ],
)
def test_a_token_is_found_in_path_and_query_and_the_store_is_asked_without_it(
    target: bytes,
) -> None:
    judged = Judged()
    assert judged.says(target) == PATH
    assert judged.says(target) == PATH
    assert (judged.row[tally.TOKEN_MISSES], judged.row[tally.TOKEN_HITS]) == (1, 1)


def test_one_token_opens_every_file_of_its_film_and_is_verified_once() -> None:
    judged = Judged()
    for name in (b"/v1/main.m3u8", b"/v1/video.mp4", b"/v2/audio.mp4"):
        assert judged.says(in_path(TOKEN, name)) == b"/film" + name
    assert judged.row[tally.TOKEN_MISSES] == 1


@pytest.mark.parametrize("token", [TOKEN, jwt({"cdniuc": "regex:http://[^/]+/film/.*"})])
def test_a_token_of_one_film_does_not_open_another(token: bytes) -> None:
    name = b"CAT" if token is TOKEN else b"URISigningPackage"
    judged = Judged()
    for _ in range(2):
        assert judged.says(PATH + b"?" + name + b"=" + token) == PATH
        assert judged.says(b"/other/v1/video.mp4?" + name + b"=" + token) is Reason.WRONG_PATH


def test_an_escape_in_the_path_is_read_as_the_store_reads_it() -> None:
    token = cat({CATU: {3: {1: "/film/", 3: "2f"}}})
    judged = Judged()
    assert judged.says(in_query(token, b"/film/v1%2fvideo.mp4")) is Reason.WRONG_PATH
    assert judged.says(in_query(TOKEN, b"/fil%6d/v1/video.mp4")) == b"/fil%6d/v1/video.mp4"


def test_a_token_for_one_host_does_not_work_at_another() -> None:
    token = cat({CATU: {1: {0: "b0173.v.example"}}})
    judged = Judged()
    assert judged.says(in_query(token)) == PATH
    assert judged.says(in_query(token), host=b"b0174.v.example") is Reason.WRONG_HOST
    # The authority of an absolute-form target counts, whatever Host says.
    assert judged.says(b"http://b0174.v.example" + in_query(token)) is Reason.WRONG_HOST


RULED = {
    "host": b"CAT=" + cat({CATU: {1: {0: "b0173.v.example"}}}),
    "stem": b"CAT=" + cat({CATU: {3: {1: "/film/"}, 7: {0: "video"}}}),
    "pattern of all of the URI": b"URISigningPackage="
    + jwt({"cdniuc": r"regex:http://b0173\.v\.example:8081/film/.*"}),
}


@pytest.mark.parametrize("token", RULED.values(), ids=RULED)
def test_a_token_that_asks_for_more_than_a_path_is_judged_once_for_a_target_and_its_host(
    token: bytes,
) -> None:
    judged, target = Judged(), PATH + b"?" + token
    assert judged.gate.recall(target, NOW, HOST) is None
    assert judged.says(target) == PATH
    for _ in range(3):
        assert judged.gate.recall(target, NOW, HOST) == PATH
    assert judged.gate.recall(target, NOW, b"b0174.v.example") is None
    assert judged.gate.recall(target, NOW) is None
    assert (judged.row[tally.TOKEN_MISSES], judged.row[tally.TOKEN_HITS]) == (1, 3)


def test_a_host_that_was_let_in_lets_in_no_other_whichever_came_first() -> None:
    target = PATH + b"?" + RULED["host"]
    judged = Judged()
    for _ in range(2):
        assert judged.says(target) == PATH
        assert judged.says(target, host=b"") is Reason.WRONG_HOST
        assert judged.says(target, host=b"b0174.v.example") is Reason.WRONG_HOST
        assert judged.says(target, host=b"B0173.V.example") == PATH


def test_an_unknown_token_an_odd_one_and_none_are_told_apart() -> None:
    judged = Judged()
    assert judged.says(PATH) is Reason.MISSING
    assert judged.says(in_query(b"")) is Reason.MALFORMED
    assert judged.says(in_query(b"AAAA")) is Reason.MALFORMED
    assert judged.says(in_query(b"A" * (TOKEN_BYTES_MAX + 1))) is Reason.MALFORMED
    assert judged.says(in_query(cat(FOR_FILM, kid=b"gone"))) is Reason.UNKNOWN_KEY
    assert judged.says(in_query(TOKEN[:-4] + b"AAAA")) is Reason.FORGED
    assert judged.says(PATH + b"?URISigningPackage=a.b") is Reason.MALFORMED


# --- time -------------------------------------------------------------------------------------------


def test_a_token_ends_though_it_is_known() -> None:
    judged = Judged()
    end = NOW + 3600 + CLOCK_SKEW_S
    assert judged.says(in_path(TOKEN), end - 1) == PATH
    assert judged.says(in_path(TOKEN), end) is Reason.EXPIRED
    assert judged.says(in_path(TOKEN), end - 1) == PATH


def test_clocks_may_be_apart_by_the_skew_and_no_more() -> None:
    token = cat({NBF: NOW, EXP: NOW + 60})
    judged = Judged(clock_skew_s=5.0)
    assert judged.says(in_query(token), NOW - 5.1) is Reason.NOT_YET
    assert judged.says(in_query(token), NOW - 5.0) == PATH
    assert judged.says(in_query(token), NOW + 64.9) == PATH
    assert judged.says(in_query(token), NOW + 65.0) is Reason.EXPIRED


def test_a_key_opens_nothing_before_its_time_and_nothing_after() -> None:
    judged = Judged(key_set({**EC_KEY, "nbf": NOW, "exp": NOW + 100}), clock_skew_s=0.0)
    assert judged.says(in_path(TOKEN), NOW - 1) is Reason.NOT_YET
    assert judged.says(in_path(TOKEN), NOW) == PATH
    assert judged.says(in_path(TOKEN), NOW + 100) is Reason.UNKNOWN_KEY


# --- keys that change -------------------------------------------------------------------------------


def test_a_key_that_is_gone_takes_its_tokens_along_and_a_new_one_leaves_the_others() -> None:
    judged = Judged()
    other = cat(FOR_FILM)
    assert judged.says(in_path(TOKEN)) == judged.says(in_path(other)) == PATH
    judged.gate.renew(KeySet.from_bytes(key_set(EC_KEY, {**EC_KEY, "kid": "ec-2"})))
    assert judged.says(in_path(other)) is Reason.UNKNOWN_KEY
    assert judged.says(in_path(TOKEN)) == PATH
    # Three were new: both tokens, and the one whose key had gone.
    assert judged.row[tally.TOKEN_MISSES] == 3


def test_a_key_that_changed_under_its_name_verifies_again() -> None:
    judged = Judged()
    token = cat(FOR_FILM)
    assert judged.says(in_path(token)) == PATH
    changed = {**SECRET_KEY, "k": "A" * 43}
    judged.gate.renew(KeySet.from_bytes(key_set(changed)))
    assert judged.says(in_path(token)) is Reason.FORGED


def test_memory_of_tokens_is_bounded_and_those_in_use_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gates, "GENERATION_TOKENS_MAX", 4)
    judged = Judged()
    for number in range(20):
        assert judged.says(in_query(cat({EXP: NOW + 100 + number}))) == PATH
        assert judged.says(in_path(TOKEN)) == PATH
    assert judged.row[tally.TOKEN_MISSES] == 21
    assert judged.row[tally.TOKEN_EVICTIONS] >= 8
    assert len(judged.gate._young) + len(judged.gate._old) <= 8


def test_memory_of_targets_is_bounded_and_they_are_found_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(gates, "PERMITS_MAX", 4)
    judged = Judged()
    for number in range(10):
        assert judged.says(in_path(TOKEN, b"/v1/%d.mp4" % number)) == b"/film/v1/%d.mp4" % number
    assert judged.row[tally.TOKEN_EVICTIONS] == 8
    assert judged.row[tally.TOKEN_MISSES] == 1
    assert len(judged.gate._permits) <= 4


def test_what_is_remembered_of_a_target_is_no_longer_than_a_player_makes_it() -> None:
    judged = Judged()
    for padding, known in ((0, PATH), (gates.PERMIT_BYTES_MAX, None)):
        target = in_query(TOKEN) + b"&a=" + b"a" * padding
        assert judged.says(target) == judged.says(target) == PATH
        assert judged.gate.recall(target, NOW, HOST) == known


def test_expressions_that_tokens_share_are_held_once() -> None:
    assert compile_pattern("http://[^/]+/film/.*") is compile_pattern("http://[^/]+/film/.*")


def test_a_forged_token_takes_no_room_from_true_ones() -> None:
    judged = Judged()
    for number in range(100):
        judged.says(in_query(b"AAAA%d" % number))
    assert not judged.gate._young


# --- whether tokens are asked for -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("demand", "fleet", "asked"),
    [
        (Demand.FLEET, True, True),
        (Demand.FLEET, False, False),
        (Demand.OFF, True, False),
        (Demand.REQUIRED, False, True),
    ],
)
def test_the_box_asks_for_tokens_as_it_was_told(demand: Demand, fleet: bool, asked: bool) -> None:
    judged = Judged(key_set(required=fleet), demand)
    assert judged.gate.required is asked
    assert judged.says(PATH) == (Reason.MISSING if asked else PATH)


def test_where_no_token_is_asked_for_one_that_is_there_is_taken_off_unread() -> None:
    judged = Judged(demand=Demand.OFF)
    assert judged.says(in_path(b"nonsense")) == PATH
    assert judged.says(in_path(TOKEN)) == PATH
    assert judged.row[tally.TOKEN_HITS] == judged.row[tally.TOKEN_MISSES] == 0


def test_the_fleet_can_begin_to_ask_while_a_box_runs() -> None:
    judged = Judged(key_set(required=False))
    assert judged.says(PATH) == PATH
    judged.gate.renew(KeySet.from_bytes(key_set(required=True)))
    assert judged.says(PATH) is Reason.MISSING


# --- counting, and the law --------------------------------------------------------------------------


def test_every_reason_is_counted_under_its_own_name() -> None:
    counters = SharedCounters(SERVING, rows=1)
    gate = Gate(KeySet(), Policy(Demand.REQUIRED, b"http"), counters.row(0))
    gate.judge(PATH, HOST, NOW)
    first = index_of(SERVING, "sluice_appliance_tokens_refused_total", reason=Reason.MISSING.value)
    assert counters.total(first) == 1
    reasons = [
        (spec.labels or {})["reason"]
        for spec in SERVING
        if isinstance(spec, CounterSpec) and spec.name == "sluice_appliance_tokens_refused_total"
    ]
    assert reasons == [reason.value for reason in Reason]


@given(st.binary(max_size=200), st.binary(max_size=40), st.floats(allow_nan=True))
def test_no_request_gets_anything_without_a_token(target: bytes, host: bytes, now: float) -> None:
    judged = Judged()
    assert isinstance(judged.gate.judge(target, host, now), Refusal)
    assert isinstance(judged.gate.judge(b"/a;CAT=" + target, host, now), Refusal)
    assert isinstance(judged.gate.judge(b"/a?URISigningPackage=" + target, host, now), Refusal)


@given(st.binary(max_size=60), st.binary(max_size=20))
def test_a_token_of_one_film_never_opens_a_path_beyond_it(target: bytes, host: bytes) -> None:
    judged = Judged()
    for asked in (target + b"?CAT=" + TOKEN, b"/" + target + b";CAT=" + TOKEN + b"/" + target):
        for said in (judged.says(asked, host=host), judged.says(asked, host=host)):
            assert isinstance(said, Reason) or unquote_to_bytes(said).startswith(b"/film/")


@given(st.lists(st.sampled_from([0.0, 1e9, NOW, NOW + 3600, NOW + 3700, 4e9]), min_size=2))
def test_what_a_token_opens_depends_on_the_time_and_not_on_what_was_asked_before(
    times: list[float],
) -> None:
    judged = Judged()
    said = [judged.says(in_path(TOKEN), now) for now in times]
    assert all(
        first == second
        for (at, first), (then, second) in pairwise(sorted(zip(times, map(str, said), strict=True)))
        if at == then
    )
