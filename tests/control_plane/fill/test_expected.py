"""What is expected of each title, and the order of a manifest that follows from it."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice.content.v1 import content_pb2
from sluice.fill.v1 import fill_pb2
from sluice_control_plane.demand.smoothing import HALF_LIFE_S
from sluice_control_plane.fill.expected import expected_bytes_per_s, sizes_of
from sluice_control_plane.fill.manifests import Catalog, fill_manifests, place
from sluice_control_plane.fill.policy import priority_of
from sluice_control_plane.fleet.appliances import Appliance, FillReport

DAY_S = 86_400.0
NOW = 1000 * DAY_S
FLEET = [
    Appliance(f"a-{n}", "site-a", "partner-a", 100, False, 1, 0.0, 1.0, FillReport())
    for n in range(3)
]


def _title(name: str, *, size: int = 1000, age_days: float = 900) -> content_pb2.Title:
    title = content_pb2.Title(
        name=f"titles/{name}",
        version="v1",
        objects=[content_pb2.MediaObject(key=f"{name}/v1/x", size_bytes=size)],
    )
    title.create_time.FromMicroseconds(int((NOW - age_days * DAY_S) * 1e6))
    return title


def _manifests(
    titles: list[content_pb2.Title],
    observed: dict[str, float],
    before: dict[str, list[fill_pb2.FillTitle]] | None = None,
) -> dict[str, list[fill_pb2.FillTitle]]:
    sizes = sizes_of(titles)
    expected = {"site-a": expected_bytes_per_s(titles, sizes, observed, NOW)}
    placed = place(titles, FLEET, 2)
    by_name = {title.name: title for title in titles}
    priorities = {
        name: priority_of(title, new_release_s=0.0, now=NOW) for name, title in by_name.items()
    }
    catalog = Catalog(by_name, sizes, priorities)
    return dict(fill_manifests(placed, FLEET, catalog, expected, before or {}))


def test_the_most_wanted_byte_comes_first_and_not_the_most_wanted_title() -> None:
    titles = [_title("long", size=10_000), _title("short", size=100), _title("cold")]
    for manifest in _manifests(titles, {"long/v1": 500.0, "short/v1": 50.0}).values():
        names = [title.title.removeprefix("titles/") for title in manifest]
        assert names == [name for name in ("short", "long", "cold") if name in names]


def test_where_nothing_was_watched_the_newest_comes_first_and_nothing_is_told() -> None:
    titles = [_title("old", age_days=9), _title("new", age_days=0), _title("mid", age_days=5)]
    for manifest in _manifests(titles, {}).values():
        names = [title.title.removeprefix("titles/") for title in manifest]
        assert names == [name for name in ("new", "mid", "old") if name in names]
        assert all(title.demand_bytes_per_s == 0 for title in manifest)


def test_a_new_title_is_as_wanted_as_the_most_wanted_and_fades_as_demand_does() -> None:
    titles = [_title("hit"), _title("new", size=500, age_days=0)]
    rates = {"hit/v1": 100.0}
    expected = expected_bytes_per_s(titles, sizes_of(titles), rates, NOW)
    assert expected == {"titles/hit": 100.0, "titles/new": 50.0}
    later = expected_bytes_per_s(titles, sizes_of(titles), rates, NOW + 2 * HALF_LIFE_S)
    assert later["titles/new"] == pytest.approx(12.5)


def test_what_a_box_is_told_is_its_share_of_the_copies() -> None:
    for manifest in _manifests([_title("hit")], {"hit/v1": 100.0}).values():
        assert [title.demand_bytes_per_s for title in manifest] in ([], [50.0])


@given(
    st.dictionaries(st.integers(0, 15), st.floats(0, 1e9), max_size=10),
    st.randoms(use_true_random=False),
)
def test_no_manifest_changes_while_demand_stays_within_a_quarter(
    rates: dict[int, float], rng: random.Random
) -> None:
    titles = [_title(f"t{n}", age_days=n) for n in range(16)]
    observed = {f"t{n}/v1": rate for n, rate in rates.items()}
    before = _manifests(titles, observed)
    nudged = {version: rate * rng.uniform(0.8, 1.25) for version, rate in observed.items()}
    assert _manifests(titles, nudged, before) == before


def test_a_title_that_was_made_again_with_other_bytes_is_told_anew() -> None:
    title = _title("film")
    before = _manifests([title], {})
    title.objects[0].sha256 = bytes(range(32))
    for appliance_id, manifest in _manifests([title], {}, before).items():
        assert (manifest != before[appliance_id]) == bool(manifest)


@given(st.dictionaries(st.integers(0, 15), st.floats(0, 1e9), max_size=10))
def test_an_order_is_by_what_is_told_whatever_is_watched(rates: dict[int, float]) -> None:
    titles = [_title(f"t{n}", size=1 + n * n, age_days=n) for n in range(16)]
    for manifest in _manifests(titles, {f"t{n}/v1": r for n, r in rates.items()}).values():
        density = [title.demand_bytes_per_s / title.objects[0].size_bytes for title in manifest]
        assert density == sorted(density, reverse=True)
