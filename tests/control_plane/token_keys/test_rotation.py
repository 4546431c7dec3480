"""Token keys rotate so that no token that may be in use is ever refused for its key."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice_control_plane.errors import TooMany
from sluice_control_plane.token_keys.rotation import (
    AUTONOMY_S,
    CHECKS_ON_FOR_S,
    DAY_S,
    HEARD_WITHIN_S,
    KEYS_MAX,
    SIGNS_FOR_S,
    TOKEN_LIFE_MAX_S,
    TokenKey,
    rotate,
    rotate_now,
)

NOW = 1_750_000_000.0
FIRST = TokenKey("first", NOW, None)


def test_the_first_key_signs_at_once() -> None:
    assert rotate([], NOW).next_sign_time == NOW


def test_a_young_key_is_left_alone_and_has_no_end() -> None:
    due = rotate([FIRST], NOW + SIGNS_FOR_S - AUTONOMY_S - 1)
    assert (due.keys, due.next_sign_time) == ((FIRST,), None)


def test_the_next_key_is_announced_as_far_ahead_as_a_box_may_be_cut_off() -> None:
    due = rotate([FIRST], NOW + SIGNS_FOR_S - AUTONOMY_S)
    assert due.next_sign_time == NOW + SIGNS_FOR_S
    assert due.keys == (TokenKey("first", NOW, NOW + SIGNS_FOR_S + CHECKS_ON_FOR_S),)


def test_a_control_plane_that_was_away_announces_late_and_never_short() -> None:
    later = NOW + 30 * DAY_S
    assert rotate([FIRST], later).next_sign_time == later + AUTONOMY_S


def test_a_key_goes_when_its_last_token_has_ended() -> None:
    old = TokenKey("old", NOW - 20 * DAY_S, NOW)
    assert rotate([old, FIRST], NOW).keys == (FIRST,)


def test_an_operators_key_signs_within_a_minute_and_the_old_one_checks_on() -> None:
    due = rotate_now([FIRST], NOW + 1, revoke=False)
    begins = NOW + 1 + HEARD_WITHIN_S
    assert due.next_sign_time == begins
    assert due.keys == (TokenKey("first", NOW, begins + CHECKS_ON_FOR_S),)


def test_a_key_in_wrong_hands_ends_as_the_new_one_begins() -> None:
    announced = TokenKey("announced", NOW + DAY_S, None)
    due = rotate_now([FIRST, announced], NOW, revoke=True)
    assert due.keys == (TokenKey("first", NOW, NOW + HEARD_WITHIN_S),)


def test_rotating_by_hand_without_end_is_refused() -> None:
    many = [TokenKey(str(number), NOW, None) for number in range(KEYS_MAX)]
    with pytest.raises(TooMany):
        rotate_now(many, NOW, revoke=False)


@given(
    st.lists(
        st.tuples(st.floats(0, 4 * DAY_S), st.sampled_from(["look", "look", "look", "by hand"])),
        max_size=60,
    )
)
def test_a_token_signed_by_who_was_cut_off_is_checked_until_it_ends(
    steps: list[tuple[float, str]],
) -> None:
    """Whoever knew the key that signs at some time signs on with it for the days of autonomy."""
    now, keys, made = NOW, tuple[TokenKey, ...](), 0
    # Of each key: until when a token of it may be in use.
    in_use: dict[str, float] = {}
    for waited, step in steps:
        now += waited
        by_hand = step == "by hand" and 0 < len(keys) < KEYS_MAX
        due = rotate_now(keys, now, revoke=False) if by_hand else rotate(keys, now)
        for key_id, ends in in_use.items():
            assert ends <= now or any(key.key_id == key_id for key in due.keys)
        keys = due.keys
        if due.next_sign_time is not None:
            made += 1
            keys = (*keys, TokenKey(str(made), due.next_sign_time, None))
        signing = [key for key in keys if key.sign_time <= now]
        if signing:
            newest = max(signing, key=lambda key: key.sign_time)
            in_use[newest.key_id] = now + AUTONOMY_S + TOKEN_LIFE_MAX_S
            assert newest.expire_time is None or newest.expire_time > now
        assert len(keys) <= KEYS_MAX + 1
