import asyncio
import random
from collections.abc import AsyncIterator
from typing import Any

import grpc
import grpc.aio
import pytest

from sluice.routes.v1 import routes_pb2, routes_pb2_grpc
from sluice.steering.v1 import steering_pb2, steering_pb2_grpc
from sluice_runtime.rpc import (
    ERROR_DOMAIN,
    ErrorsToStatus,
    RpcStatus,
    abort,
    error_reason,
    follow,
    server_options,
)
from sluice_runtime.simulation import simulate


class NoSuchSite(LookupError):
    pass


class NoSuchSiteHere(NoSuchSite):
    pass


NOT_FOUND = RpcStatus(grpc.StatusCode.NOT_FOUND, "SITE_NOT_FOUND")
EXHAUSTED = RpcStatus(grpc.StatusCode.RESOURCE_EXHAUSTED, "TOO_MANY")


class Routes(routes_pb2_grpc.RoutesServiceServicer):
    async def ListRoutes(self, request: Any, context: Any) -> routes_pb2.ListRoutesResponse:
        match request.site:
            case "sites/gone":
                raise NoSuchSiteHere("sites/gone is not there")
            case "sites/secret":
                raise RuntimeError("the password is swordfish")
            case "sites/many":
                await abort(context, EXHAUSTED, "9 watchers, at most 8")
        return routes_pb2.ListRoutesResponse(next_page_token="fine")

    async def ReplaceRoutes(self, request: Any, context: Any) -> routes_pb2.ReplaceRoutesResponse:
        raise NotImplementedError


class Steering(steering_pb2_grpc.SteeringServiceServicer):
    async def WatchMap(
        self, request: steering_pb2.WatchMapRequest, context: Any
    ) -> AsyncIterator[steering_pb2.WatchMapResponse]:
        yield steering_pb2.WatchMapResponse()
        raise NoSuchSite("lost in the middle")

    async def ExplainClient(self, request: Any, context: Any) -> steering_pb2.ExplainClientResponse:
        raise NotImplementedError


async def ask(call: Any) -> Any:
    """Serves on loopback, and hands `call` a channel."""
    server = grpc.aio.server(
        interceptors=[ErrorsToStatus({NoSuchSite: NOT_FOUND})], options=server_options()
    )
    routes_pb2_grpc.add_RoutesServiceServicer_to_server(Routes(), server)
    steering_pb2_grpc.add_SteeringServiceServicer_to_server(Steering(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel, asyncio.timeout(20):
            return await call(channel)
    finally:
        await server.stop(0)


def failure_of(site: str) -> grpc.aio.AioRpcError:
    async def call(channel: grpc.aio.Channel) -> grpc.aio.AioRpcError:
        with pytest.raises(grpc.aio.AioRpcError) as failed:
            await routes_pb2_grpc.RoutesServiceStub(channel).ListRoutes(
                routes_pb2.ListRoutesRequest(site=site)
            )
        return failed.value

    error: grpc.aio.AioRpcError = asyncio.run(ask(call))
    return error


def test_an_error_of_ours_is_its_status_with_a_reason_that_clients_switch_on() -> None:
    error = failure_of("sites/gone")
    assert error.code() is grpc.StatusCode.NOT_FOUND
    assert error.details() == "sites/gone is not there"
    assert error_reason(error) == "SITE_NOT_FOUND"
    assert ERROR_DOMAIN == "sluice"


def test_an_error_that_nobody_foresaw_tells_the_caller_nothing_of_our_inside() -> None:
    error = failure_of("sites/secret")
    assert error.code() is grpc.StatusCode.INTERNAL
    assert "swordfish" not in str(error)
    assert error_reason(error) == "INTERNAL"


def test_a_handler_that_ends_its_call_itself_keeps_its_own_words() -> None:
    error = failure_of("sites/many")
    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert (error.details(), error_reason(error)) == ("9 watchers, at most 8", "TOO_MANY")


def test_a_call_that_goes_well_goes_through_unchanged() -> None:
    async def call(channel: grpc.aio.Channel) -> str:
        stub: Any = routes_pb2_grpc.RoutesServiceStub(channel)
        answer = await stub.ListRoutes(routes_pb2.ListRoutesRequest())
        return str(answer.next_page_token)

    assert asyncio.run(ask(call)) == "fine"


def test_a_stream_that_breaks_in_the_middle_gives_what_it_had_and_then_its_status() -> None:
    async def call(channel: grpc.aio.Channel) -> grpc.aio.AioRpcError:
        stub: Any = steering_pb2_grpc.SteeringServiceStub(channel)
        responses = stub.WatchMap(steering_pb2.WatchMapRequest())
        assert await responses.read() == steering_pb2.WatchMapResponse()
        with pytest.raises(grpc.aio.AioRpcError) as failed:
            await responses.read()
        return failed.value

    error = asyncio.run(ask(call))
    assert (error.code(), error_reason(error)) == (grpc.StatusCode.NOT_FOUND, "SITE_NOT_FOUND")


def test_two_servers_cannot_share_a_port() -> None:
    async def second() -> None:
        first = grpc.aio.server(options=server_options())
        port = first.add_insecure_port("127.0.0.1:0")
        await first.start()
        other = grpc.aio.server(options=server_options())
        try:
            with pytest.raises(RuntimeError, match=f"127.0.0.1:{port}"):
                other.add_insecure_port(f"127.0.0.1:{port}")
        finally:
            await first.stop(0)
            await other.stop(0)

    asyncio.run(second())


def unavailable() -> grpc.aio.AioRpcError:
    nothing = grpc.aio.Metadata()
    return grpc.aio.AioRpcError(grpc.StatusCode.UNAVAILABLE, nothing, nothing, details="gone")


def test_a_watch_that_breaks_goes_on_from_the_last_revision_that_was_seen() -> None:
    asked: list[int] = []
    breaks: list[str] = []

    async def open_stream(revision: int) -> AsyncIterator[int]:
        asked.append(revision)
        if len(asked) == 2:
            raise unavailable()
        yield revision + 1
        yield revision + 2
        if len(asked) == 3:
            raise unavailable()

    async def watch() -> tuple[list[int], float]:
        seen: list[int] = []
        messages = follow(
            open_stream,
            lambda message: message,
            revision=10,
            rng=random.Random(7),
            on_break=breaks.append,
        )
        async for message in messages:
            seen.append(message)
            if len(seen) == 6:
                break
        return seen, asyncio.get_running_loop().time()

    seen, took_s = simulate(watch())
    assert seen == [11, 12, 13, 14, 15, 16]
    assert asked == [10, 12, 12, 14]
    assert breaks == ["the server ended the stream", "UNAVAILABLE: gone", "UNAVAILABLE: gone"]
    assert 3 * 0.2 <= took_s <= 3 * 2.0
