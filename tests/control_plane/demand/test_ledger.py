"""A report of demand counts once, for the site of who sent it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice.demand.v1 import demand_pb2
from sluice_control_plane.demand.ledger import Counted, DemandLedger
from sluice_control_plane.demand.reports import TITLES_MAX, DemandReport, report_of
from sluice_control_plane.errors import InvalidRequest

KNOWN = {"film/v1", "play/v1"}


def _report(sequence: int, sent: int = 100, incarnation: str = "one") -> DemandReport:
    return DemandReport(incarnation, sequence, {"film/v1": sent, "gone/v1": 7}, 3)


def test_a_report_counts_what_is_known_and_says_what_is_not() -> None:
    ledger = DemandLedger()
    counted = ledger.hear("a-1", "site-a", _report(1), known=KNOWN, now=0.0)
    assert counted == Counted(title_bytes=100, rest_bytes=3, unknown_bytes=7)
    assert ledger.bytes_per_s("site-a", 0.0).keys() == {"film/v1"}


@given(st.lists(st.integers(1, 6), max_size=30))
def test_whatever_is_sent_again_counts_once(sequences: list[int]) -> None:
    ledger, taken, last = DemandLedger(), 0, 0
    for sequence in sequences:
        counted = ledger.hear("a-1", "site-a", _report(sequence), known=KNOWN, now=0.0)
        assert counted.repeated == (sequence <= last)
        last = max(last, sequence)
        taken += counted.title_bytes
    assert taken == 100 * len({max(sequences[: n + 1]) for n in range(len(sequences))})


def test_a_box_that_started_anew_counts_from_one_again() -> None:
    ledger = DemandLedger()
    for incarnation in ("one", "two"):
        counted = ledger.hear(
            "a-1", "site-a", _report(1, incarnation=incarnation), known=KNOWN, now=0.0
        )
        assert not counted.repeated


def test_a_site_that_was_never_heard_is_taken_for_the_mean_of_the_others() -> None:
    ledger = DemandLedger()
    ledger.hear("a-1", "site-a", _report(1, 1000), known=KNOWN, now=0.0)
    ledger.hear("b-1", "site-b", _report(1, 3000), known=KNOWN, now=0.0)
    known = [ledger.bytes_per_s(site, 0.0)["film/v1"] for site in ("site-a", "site-b")]
    assert ledger.bytes_per_s("site-c", 0.0)["film/v1"] == pytest.approx(sum(known) / 2)


def test_what_could_not_be_kept_is_there_to_be_kept_the_next_time() -> None:
    ledger = DemandLedger()
    ledger.hear("a-1", "site-a", _report(1), known=KNOWN, now=0.0)
    changes = ledger.take_changes()
    assert not ledger.take_changes().sites
    ledger.put_back(changes)
    again = ledger.take_changes()
    assert (set(again.sites), set(again.heard)) == ({"site-a"}, {"a-1"})


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"sequence": 0}, "sequence is 0"),
        ({"incarnation": ""}, "incarnation"),
        ({"rest_bytes": -1}, "rest_bytes is -1"),
        ({"titles": [{"title": "film", "version": "v1"}]}, "expected titles/ID"),
        ({"titles": [{"title": "titles/film", "version": "a/b"}]}, "titles.version is 'a/b'"),
        ({"titles": [{"title": "titles/film", "version": "v1", "hits": -1}]}, "titles.hits is -1"),
        ({"titles": [{"title": "titles/film", "version": "v1"}] * 2}, "film/v1 twice"),
        (
            {"titles": [{"title": f"titles/{n}", "version": "v"} for n in range(TITLES_MAX + 1)]},
            f"{TITLES_MAX + 1} titles, expected at most {TITLES_MAX}",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_malformed_report_is_refused(changes: dict[str, object], words: str) -> None:
    fields = {"incarnation": "one", "sequence": 1, **changes}
    with pytest.raises(InvalidRequest, match=words):
        report_of(demand_pb2.ReportDemandRequest(**fields))  # type: ignore[arg-type]
