"""Who waits for which blocks: nobody is forgotten, and nothing is fetched twice at once."""

from hypothesis import given
from hypothesis import strategies as st

from sluice_appliance.pull.wants import PIECE_BLOCKS, Piece, Wants


def wants(*asked: tuple[str, str, range]) -> Wants[str]:
    found: Wants[str] = Wants()
    for waiter, key, blocks in asked:
        assert found.add(waiter, key, blocks)
    return found


def test_what_two_ask_for_comes_once_and_wakes_both() -> None:
    both = wants(("ann", "film", range(2)), ("bob", "film", range(2)))
    assert both.next_piece(set()) == Piece("film", 0, 2)
    assert both.next_piece({("film", 0), ("film", 1)}) is None
    assert both.arrived("film", 0) == ("ann", "bob")
    assert both.arrived("film", 0) == ()
    assert len(both) == 2
    assert both.arrived("film", 1) == ("ann", "bob")
    assert len(both) == 0


def test_a_long_range_is_asked_for_a_piece_at_a_time() -> None:
    long = wants(("ann", "film", range(3, 3 + 2 * PIECE_BLOCKS)))
    first = long.next_piece(set())
    assert first == Piece("film", 3, 3 + PIECE_BLOCKS)
    busy = {("film", block) for block in range(first.first, first.end)}
    assert long.next_piece(busy) == Piece("film", 3 + PIECE_BLOCKS, 3 + 2 * PIECE_BLOCKS)


def test_a_piece_ends_before_a_block_that_is_on_its_way() -> None:
    assert wants(("ann", "film", range(5))).next_piece({("film", 3)}) == Piece("film", 0, 3)


def test_objects_take_turns() -> None:
    three = wants(("ann", "a", range(30)), ("bob", "b", range(30)), ("cid", "c", range(30)))
    busy: set[tuple[str, int]] = set()
    keys = []
    for _ in range(6):
        piece = three.next_piece(busy)
        assert piece is not None
        keys.append(piece.key)
        busy |= {(piece.key, block) for block in range(piece.first, piece.end)}
    assert keys == ["a", "b", "c", "a", "b", "c"]


def test_who_leaves_takes_along_what_nobody_else_wants() -> None:
    both = wants(("ann", "film", range(3)), ("bob", "film", range(1)))
    both.leave("ann")
    both.leave("ann")
    assert [both.is_wanted("film", block) for block in range(3)] == [True, False, False]
    assert both.next_piece(set()) == Piece("film", 0, 1)


def test_a_failure_ends_those_who_waited_for_it_and_nobody_else() -> None:
    two = wants(("ann", "film", range(2)), ("bob", "film", range(1, 3)))
    assert two.failed("film", [0]) == ("ann",)
    assert len(two) == 1
    assert two.failed("film", [7]) == ()


def test_beyond_the_bound_one_more_is_refused_and_who_waits_may_ask_on() -> None:
    full: Wants[str] = Wants(waiters_max=1)
    assert full.add("ann", "film", [0])
    assert not full.add("bob", "film", [0])
    assert full.add("ann", "film", [1])
    assert not full.add("ann", "other", [1])
    assert full.add("bob", "film", []) is False


STEPS = st.lists(
    st.tuples(
        st.sampled_from(("add", "leave", "arrived", "failed")),
        st.sampled_from("xyz"),
        st.integers(0, 5),
        st.integers(1, 4),
    ),
    max_size=60,
)


@given(STEPS)
def test_every_waiter_ends_by_having_all_by_failing_or_by_leaving(
    steps: list[tuple[str, str, int, int]],
) -> None:
    found: Wants[str] = Wants()
    # By waiter: what it still waits for, all of one object.
    expected: dict[str, set[int]] = {}
    for step, waiter, first, count in steps:
        blocks = range(first, first + count)
        match step:
            case "add":
                assert found.add(waiter, "film", blocks)
                expected.setdefault(waiter, set()).update(blocks)
            case "leave":
                found.leave(waiter)
                expected.pop(waiter, None)
            case "arrived":
                waited = {each for each, left in expected.items() if first in left}
                assert set(found.arrived("film", first)) == waited
                for each in waited:
                    expected[each].discard(first)
            case "failed":
                waited = {each for each, left in expected.items() if left & set(blocks)}
                assert set(found.failed("film", blocks)) == waited
                for each in waited:
                    del expected[each]
        expected = {each: left for each, left in expected.items() if left}
        assert len(found) == len(expected)
        wanted = set().union(*expected.values()) if expected else set()
        assert {block for block in range(12) if found.is_wanted("film", block)} == wanted
        piece = found.next_piece(set())
        assert (piece is None) == (not wanted)
        assert piece is None or set(range(piece.first, piece.end)) <= wanted
