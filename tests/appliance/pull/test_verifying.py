"""No byte is shown before a digest was found right."""

import pytest
from appliance.pull.box import KEY, MIB, body_of, header_of
from hypothesis import given, settings
from hypothesis import strategies as st

from sluice_appliance.pull.negatives import NEGATIVE_S, NEGATIVES_MAX, Negatives
from sluice_appliance.pull.verifying import WHOLE_BYTES_MAX, Located, Verifier, WrongBytes
from sluice_appliance.store.blocks import block_digests

BODY = body_of(2 * MIB + 5)


def located(body: bytes = BODY, *, digests: bool = True) -> Located:
    return Located(header_of(KEY, body), block_digests(body) if digests else None, ())


@settings(max_examples=25)
@given(st.lists(st.integers(1, 2 * MIB), max_size=5), st.booleans(), st.integers(0, 2))
def test_however_the_bytes_come_each_block_is_shown_once_and_right(
    cuts: list[int], digests: bool, first: int
) -> None:
    first = first if digests else 0
    verifier = Verifier(located(digests=digests), first)
    rest = BODY[first * MIB :]
    shown: list[tuple[int, bytes]] = []
    for cut in [*cuts, len(rest)]:
        piece, rest = rest[:cut], rest[cut:]
        shown += verifier.take(piece)
    shown += verifier.take(rest)
    assert [block for block, _ in shown] == list(range(first, 3))
    assert b"".join(data for _, data in shown) == BODY[first * MIB :]


def show_all(verifier: Verifier, body: bytes, shown: list[tuple[int, bytes]]) -> None:
    for start in range(0, len(body), 300_000):
        for each in verifier.take(body[start : start + 300_000]):
            shown.append(each)  # noqa: PERF402 - what came before it raises counts


@settings(max_examples=25)
@given(st.integers(0, len(BODY) - 1), st.booleans())
def test_a_wrong_bit_anywhere_keeps_its_block_from_being_shown(at: int, digests: bool) -> None:
    bent = bytearray(BODY)
    bent[at] ^= 1
    verifier = Verifier(located(digests=digests), 0)
    shown: list[tuple[int, bytes]] = []
    with pytest.raises(WrongBytes):
        show_all(verifier, bytes(bent), shown)
    whole = at // MIB if digests else 0
    assert [block for block, _ in shown] == list(range(whole))


def test_an_object_without_digests_of_blocks_is_pulled_only_where_all_of_it_may_stand_in_memory() -> (
    None
):
    small = located(bytes(WHOLE_BYTES_MAX), digests=False)
    large = located(bytes(WHOLE_BYTES_MAX + 1), digests=False)
    assert (small.may_be_pulled, large.may_be_pulled) == (True, False)
    assert located(bytes(WHOLE_BYTES_MAX + 1)).may_be_pulled


def test_digests_that_are_not_as_many_as_the_blocks_are_none() -> None:
    short = Located(header_of(KEY, BODY), block_digests(BODY)[:-16], ())
    assert not short.by_block


def test_what_failed_is_believed_for_a_second_and_no_longer() -> None:
    negatives: Negatives[str] = Negatives()
    negatives.note("a", "absent", 10.0)
    assert negatives.look("a", 10.0 + NEGATIVE_S - 0.001) == "absent"
    assert negatives.look("a", 10.0 + NEGATIVE_S) is None
    assert len(negatives) == 0


def test_of_too_many_failures_the_oldest_is_forgotten() -> None:
    negatives: Negatives[str] = Negatives()
    for number in range(NEGATIVES_MAX + 1):
        negatives.note(str(number), "absent", 10.0)
    assert len(negatives) == NEGATIVES_MAX
    assert negatives.look("0", 10.0) is None
    assert negatives.look("1", 10.0) == "absent"
