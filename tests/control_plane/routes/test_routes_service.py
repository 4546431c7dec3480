"""Routes are a site's own, whole, canonical and in order."""

import asyncio
from pathlib import Path

import grpc
import pytest
from control_plane.rig import control_plane, refused
from hypothesis import given
from hypothesis import strategies as st

from sluice.routes.v1 import routes_pb2, routes_pb2_grpc
from sluice_control_plane.errors import InvalidRequest
from sluice_control_plane.identity.roles import Role
from sluice_control_plane.routes.prefixes import check_prefixes, prefix_of, sort_key
from sluice_control_plane.steering.routes import Prefix


def _prefixes(family: int, bits: int, longest: int) -> st.SearchStrategy[Prefix]:
    return st.builds(
        lambda start, length: Prefix(family, start >> (bits - length) << (bits - length), length),
        st.integers(0, (1 << bits) - 1),
        st.integers(0, longest),
    )


@given(st.lists(_prefixes(4, 32, 24) | _prefixes(6, 64, 56)))
def test_the_order_of_stored_keys_is_the_order_of_prefixes(prefixes: list[Prefix]) -> None:
    assert [prefix_of(key) for key in sorted(map(sort_key, prefixes))] == sorted(prefixes)


@pytest.mark.parametrize(
    "text", ["", "10.1.0.0", "10.1.0.1/16", "10.1.2.0/25", "2001:db8::/57", "ten/8", "x" * 1000]
)
def test_text_that_is_no_route_is_refused_by_name(text: str) -> None:
    with pytest.raises(InvalidRequest, match="prefix"):
        check_prefixes(["10.0.0.0/8", text])


def test_replacing_a_sites_routes_leaves_the_other_sites_alone(tmp_path: Path) -> None:
    async def story() -> None:
        async with control_plane(tmp_path) as rig:
            await rig.found_fleet()
            stub = routes_pb2_grpc.RoutesServiceStub(rig.channel(Role.PARTNER, "partner-a"))
            request = routes_pb2.ReplaceRoutesRequest(
                site="sites/site-a", prefixes=["2001:db8:a::/48", "9.0.0.0/8", "9.0.0.0/8"]
            )
            answer = await stub.ReplaceRoutes(request)
            assert answer == await stub.ReplaceRoutes(request)
            assert [route.prefix for route in answer.routes] == ["9.0.0.0/8", "2001:db8:a::/48"]
            operator = routes_pb2_grpc.RoutesServiceStub(rig.channel(Role.OPERATOR))
            seen, token = [], ""
            for _ in range(3):
                page = await operator.ListRoutes(
                    routes_pb2.ListRoutesRequest(page_size=1, page_token=token)
                )
                seen += [(route.prefix, route.site) for route in page.routes]
                token = page.next_page_token
            assert not token
            assert seen == [
                ("9.0.0.0/8", "sites/site-a"),
                ("10.2.0.0/16", "sites/site-b"),
                ("2001:db8:a::/48", "sites/site-a"),
            ]
            explained = await rig.explain("2001:db8:a::1")
            assert explained.matching_prefix in ("", "2001:db8:a::/48")

    asyncio.run(story())


def test_a_wrong_prefix_among_right_ones_changes_nothing(tmp_path: Path) -> None:
    async def story() -> None:
        async with control_plane(tmp_path) as rig:
            await rig.found_fleet()
            stub = routes_pb2_grpc.RoutesServiceStub(rig.channel(Role.OPERATOR))
            async with refused(grpc.StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST"):
                await stub.ReplaceRoutes(
                    routes_pb2.ReplaceRoutesRequest(
                        site="sites/site-a", prefixes=["9.0.0.0/8", "9.0.0.1/8"]
                    )
                )
            routes = await stub.ListRoutes(routes_pb2.ListRoutesRequest(site="sites/site-a"))
            assert [route.prefix for route in routes.routes] == ["10.1.0.0/16"]
            async with refused(grpc.StatusCode.NOT_FOUND, "NOT_FOUND"):
                await stub.ReplaceRoutes(routes_pb2.ReplaceRoutesRequest(site="sites/none"))

    asyncio.run(story())
