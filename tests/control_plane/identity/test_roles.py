"""One table says who may call what; nothing else opens a method."""

import asyncio
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
from control_plane.rig import bare, control_plane
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message_factory import GetMessageClass
from hypothesis import given
from hypothesis import strategies as st

from sluice.content.v1 import content_pb2
from sluice.demand.v1 import demand_pb2
from sluice.fill.v1 import fill_pb2
from sluice.fleet.v1 import fleet_pb2
from sluice.routes.v1 import routes_pb2
from sluice.steering.v1 import steering_pb2
from sluice.tokens.v1 import tokens_pb2
from sluice_control_plane.errors import NotAllowed, NotKnown
from sluice_control_plane.identity.roles import (
    ENROL,
    METHOD_ROLES,
    Caller,
    Role,
    admit,
    caller_of,
    uri_of,
)
from sluice_runtime import rpc

FILES = (
    fleet_pb2,
    routes_pb2,
    content_pb2,
    fill_pb2,
    demand_pb2,
    steering_pb2,
    tokens_pb2,
)


def _methods() -> dict[str, MethodDescriptor]:
    return {
        f"/{service.full_name}/{method.name}": method
        for file in FILES
        for service in file.DESCRIPTOR.services_by_name.values()
        for method in service.methods
    }


async def _outcome(channel: grpc.aio.Channel, path: str, method: MethodDescriptor) -> str:
    """The reason of a refusal to an empty request, or the empty string."""
    answer = GetMessageClass(method.output_type)
    call: Any
    if method.server_streaming:
        call = bare(channel).unary_stream(path, response_deserializer=answer.FromString)(
            b"", timeout=10
        )
        reading = call.read()
    else:
        call = bare(channel).unary_unary(path, response_deserializer=answer.FromString)(
            b"", timeout=10
        )
        reading = call
    try:
        await reading
    except grpc.aio.AioRpcError as error:
        return rpc.error_reason(error)
    finally:
        call.cancel()
    return ""


def test_every_method_of_every_service_admits_the_roles_of_the_table_and_no_other(
    tmp_path: Path,
) -> None:
    async def story() -> None:
        async with control_plane(tmp_path) as rig:
            for role in Role:
                channel = rig.channel(role, "somebody")
                for path, method in _methods().items():
                    reason = await _outcome(channel, path, method)
                    if path == ENROL:
                        # It is not served here at all.
                        assert reason == "", path
                    elif role in METHOD_ROLES[path]:
                        assert reason not in ("NOT_ALLOWED", "INTERNAL"), (role, path)
                    else:
                        assert reason == "NOT_ALLOWED", (role, path)

    asyncio.run(story())


def test_the_table_names_every_method_and_no_method_that_is_not_there() -> None:
    ours = {path for path in METHOD_ROLES if path.startswith("/sluice.")}
    assert ours | {ENROL} == set(_methods())


def test_a_method_that_is_missing_from_the_table_is_refused_even_to_operators() -> None:
    with pytest.raises(NotAllowed, match="operator operator may not call"):
        admit("/sluice.new.v1.NewService/New", Caller(Role.OPERATOR, "operator"))


@given(
    st.sampled_from(list(Role)),
    st.from_regex(r"[a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?", fullmatch=True),
)
def test_the_name_in_a_certificate_is_read_back_as_it_was_written(role: Role, name: str) -> None:
    assert caller_of(uri_of(role, name)) == Caller(role, name)


@pytest.mark.parametrize(
    "uri",
    [
        None,
        "",
        "spiffe://other/operator/x",
        "spiffe://sluice/root/x",
        "spiffe://sluice/operator/x/y",
    ],
)
def test_a_certificate_that_names_no_role_of_ours_is_nobody(uri: str | None) -> None:
    with pytest.raises(NotKnown):
        caller_of(uri)


def test_an_appliance_may_speak_for_itself_alone(tmp_path: Path) -> None:
    async def story() -> None:
        async with control_plane(tmp_path) as rig:
            boxes = await rig.found_fleet()
            liar = boxes["a-1"]
            liar.appliance_id = "a-2"
            for speech in (liar.beat(), liar.report(), liar.sources("film"), liar.manifest()):
                with pytest.raises(grpc.aio.AioRpcError) as caught:
                    await speech
                assert rpc.error_reason(caught.value) == "NOT_ALLOWED"

    asyncio.run(story())


def test_a_caller_without_a_certificate_reaches_enrolment_and_nothing_else(tmp_path: Path) -> None:
    async def story() -> None:
        async with control_plane(tmp_path) as rig:
            authority = (tmp_path / "ca.pem").read_bytes()
            async with rpc.open_anonymous_channel(rig.running.listen, authority) as channel:
                path = "/sluice.fleet.v1.FleetService/ListPartners"
                with pytest.raises(grpc.aio.AioRpcError) as caught:
                    await bare(channel).unary_unary(path)(b"", timeout=5)
                assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
            unserved = bare(rig.anonymous()).unary_unary(path)
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await unserved(b"", timeout=5)
            assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED

    asyncio.run(story())
