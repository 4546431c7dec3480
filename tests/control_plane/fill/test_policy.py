"""Which policies of fill are taken, from whom, and how urgent a title is."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sluice.content.v1 import content_pb2
from sluice.fill.v1 import fill_pb2
from sluice_control_plane.errors import InvalidRequest, NotAllowed
from sluice_control_plane.fill.policy import (
    WINDOWS_MAX,
    check_flash,
    check_policy,
    check_priority,
    priority_of,
)

DAY_S = 86_400.0
NIGHT = {"start_minute": 120, "duration_minutes": 720, "time_zone": "Europe/Madrid"}


def _policy(**fields: object) -> fill_pb2.FillPolicy:
    return fill_pb2.FillPolicy(**fields)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"windows": [NIGHT, {**NIGHT, "weekdays": [6, 7], "time_zone": ""}]},
        {"billed_percentile": 95, "rate_bits_per_s_max": 400_000_000, "drive_writes_per_day": 0.3},
    ],
    ids=str,
)
def test_a_policy_with_limits_and_without_is_taken(fields: dict[str, object]) -> None:
    check_policy(_policy(**fields))


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"windows": [NIGHT] * (WINDOWS_MAX + 1)}, "33 windows, expected at most 32"),
        ({"windows": [{**NIGHT, "start_minute": 1440}]}, r"windows\[0\].start_minute is 1440"),
        ({"windows": [NIGHT, {**NIGHT, "duration_minutes": 0}]}, r"windows\[1\].duration_minutes"),
        ({"windows": [{**NIGHT, "duration_minutes": 1441}]}, "expected 1..1440"),
        ({"windows": [{**NIGHT, "weekdays": [0]}]}, "weekdays has 0"),
        ({"windows": [{**NIGHT, "weekdays": [1, 1]}]}, "a day twice"),
        ({"windows": [{**NIGHT, "time_zone": "Europe/Atlantis"}]}, "'Europe/Atlantis'"),
        ({"windows": [{**NIGHT, "time_zone": "../etc/passwd"}]}, "IANA time zone"),
        ({"windows": [{**NIGHT, "time_zone": "x" * 10_000}]}, "10000 characters"),
        ({"windows": [{**NIGHT, "time_zone": "Europe"}]}, "IANA time zone"),
        ({"window_bytes_max": -1}, "window_bytes_max is -1"),
        ({"rate_bits_per_s_max": 10**14}, "rate_bits_per_s_max is 1e[+]14"),
        ({"billed_percentile": 5}, "billed_percentile is 5, expected 50..100"),
        ({"drive_writes_per_day": float("nan")}, "drive_writes_per_day is nan"),
        ({"drive_writes_per_day": 101.0}, "up to 100"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_policy_that_could_not_be_kept_to_is_refused(
    fields: dict[str, object], words: str
) -> None:
    with pytest.raises(InvalidRequest, match=words):
        check_policy(_policy(**fields))


@given(st.floats(0, 100), st.floats(0, 100))
@example(0.0, 0.5)
def test_a_partner_never_gets_more_written_to_flash_than_the_operator_allows(
    asked: float, allowed: float
) -> None:
    if not allowed or 0 < asked <= allowed:
        check_flash(asked, allowed)
        return
    with pytest.raises(NotAllowed, match="the operator allows"):
        check_flash(asked, allowed)


@pytest.mark.parametrize(
    ("priority", "age_days", "told"),
    [
        (fill_pb2.FILL_PRIORITY_UNSPECIFIED, 1, fill_pb2.FILL_PRIORITY_NEW_RELEASE),
        (fill_pb2.FILL_PRIORITY_UNSPECIFIED, 8, fill_pb2.FILL_PRIORITY_NORMAL),
        (fill_pb2.FILL_PRIORITY_NORMAL, 1, fill_pb2.FILL_PRIORITY_NORMAL),
        (fill_pb2.FILL_PRIORITY_EMERGENCY, 800, fill_pb2.FILL_PRIORITY_EMERGENCY),
    ],
)
def test_a_title_is_a_new_release_for_its_first_days_unless_an_operator_said_otherwise(
    priority: fill_pb2.FillPriority.ValueType,
    age_days: float,
    told: fill_pb2.FillPriority.ValueType,
) -> None:
    title = content_pb2.Title(priority=priority)
    title.create_time.FromSeconds(1_000_000)
    now = 1_000_000 + age_days * DAY_S
    assert priority_of(title, new_release_s=7 * DAY_S, now=now) == told


def test_a_priority_that_is_newer_than_ours_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="priority is 9"):
        check_priority(9)
