"""Where an appliance may fetch a title, and who goes afar for it."""

from hypothesis import given
from hypothesis import strategies as st

from sluice.fill.v1 import fill_pb2
from sluice_control_plane.fill.sources import (
    SOURCES_MAX,
    WAIT_S_MAX,
    Asker,
    Holder,
    leader,
    rank_sources,
)
from sluice_control_plane.placement.rendezvous import Member

ORIGIN = "http://127.0.0.1:8090/"
ASKER = Asker("x-0", "site-a", "partner-a")
# Site -> partner.
PARTNERS = {"site-a": "partner-a", "site-b": "partner-a", "site-c": "partner-c"}
HOLDERS = st.dictionaries(
    st.integers(0, 40).map(lambda n: f"x-{n}"), st.sampled_from(sorted(PARTNERS)), max_size=40
)
SIZES = st.integers(0, 1 << 44)


def _holders(sites: dict[str, str]) -> list[Holder]:
    return [Holder(each, site, PARTNERS[site], f"http://{each}/") for each, site in sites.items()]


def _wait_s(source: fill_pb2.FillSource) -> float:
    return source.wait.ToTimedelta().total_seconds()


@given(HOLDERS, st.integers(0, 1023), st.booleans(), SIZES)
def test_sources_are_peers_then_other_sites_then_the_origin_and_never_oneself(
    sites: dict[str, str], bucket: int, leads: bool, size_bytes: int
) -> None:
    sources = rank_sources(
        ASKER, bucket, _holders(sites), ORIGIN, leads=leads, size_bytes=size_bytes
    )
    kinds = [source.kind for source in sources]
    assert kinds == sorted(kinds)
    assert sources[-1].source_id == "origin"
    assert len(sources) == min(SOURCES_MAX, 1 + len(sites.keys() - {"x-0"}))
    assert "x-0" not in [source.source_id for source in sources]


@given(HOLDERS, st.integers(0, 1023))
def test_sites_of_the_same_partner_come_before_those_of_others(
    sites: dict[str, str], bucket: int
) -> None:
    sources = rank_sources(ASKER, bucket, _holders(sites), "", leads=True, size_bytes=1)
    far = [sites[each.source_id] for each in sources if sites[each.source_id] != "site-a"]
    assert far == sorted(far)


@given(HOLDERS, st.integers(0, 1023), st.booleans(), SIZES)
def test_who_leads_waits_for_nothing_and_the_others_the_longer_the_farther(
    sites: dict[str, str], bucket: int, leads: bool, size_bytes: int
) -> None:
    sources = rank_sources(
        ASKER, bucket, _holders(sites), ORIGIN, leads=leads, size_bytes=size_bytes
    )
    waits = [_wait_s(source) for source in sources]
    assert waits == sorted(waits)
    assert waits[-1] <= 2 * WAIT_S_MAX
    for source, wait_s in zip(sources, waits, strict=True):
        near = source.kind == fill_pb2.FILL_SOURCE_KIND_PEER
        assert (wait_s == 0) == (leads or near)


@given(
    st.dictionaries(st.integers(0, 9).map(lambda n: f"x-{n}"), st.integers(1, 1000), min_size=1),
    st.sampled_from(["film", "play"]),
)
def test_one_box_leads_and_when_another_falls_it_leads_on(
    weights: dict[str, int], title: str
) -> None:
    members = [Member(each, weight) for each, weight in weights.items()]
    leading = leader(title, members)
    assert leading in weights
    assert leading == leader(title, reversed(members))
    for fallen in members:
        rest = [each for each in members if each is not fallen]
        successor = leader(title, rest)
        if fallen.appliance_id != leading:
            assert successor == leading
        else:
            assert (successor is None) == (not rest)


def test_the_titles_of_a_site_have_leaders_all_over_it() -> None:
    members = [Member(f"x-{n}", 100) for n in range(4)]
    led = [leader(f"film-{n}", members) for n in range(400)]
    assert all(60 <= led.count(each.appliance_id) <= 140 for each in members)
