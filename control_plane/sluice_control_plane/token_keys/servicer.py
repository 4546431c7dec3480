"""TokenKeyService: translate, delegate, answer."""

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

from sluice.tokens.v1 import tokens_pb2, tokens_pb2_grpc
from sluice_control_plane.errors import InvalidRequest
from sluice_control_plane.token_keys.ring import TokenKeyRing


class TokenKeyServicer(tokens_pb2_grpc.TokenKeyServiceServicer):
    def __init__(self, ring: TokenKeyRing) -> None:
        self._ring = ring

    async def WatchTokenKeys(
        self, request: tokens_pb2.WatchTokenKeysRequest, context: Any
    ) -> AsyncIterator[tokens_pb2.WatchTokenKeysResponse]:
        _check(request.revision)
        async with aclosing(self._ring.public.watch(request.revision)) as watch:
            async for signed in watch:
                yield tokens_pb2.WatchTokenKeysResponse(keys=signed)

    async def WatchSigningKeys(
        self, request: tokens_pb2.WatchSigningKeysRequest, context: Any
    ) -> AsyncIterator[tokens_pb2.WatchSigningKeysResponse]:
        _check(request.revision)
        async with aclosing(self._ring.private.watch(request.revision)) as watch:
            async for keys in watch:
                yield keys

    async def ListTokenKeys(
        self, request: tokens_pb2.ListTokenKeysRequest, context: Any
    ) -> tokens_pb2.ListTokenKeysResponse:
        return tokens_pb2.ListTokenKeysResponse(keys=self._ring.told)

    async def RotateTokenKeys(
        self, request: tokens_pb2.RotateTokenKeysRequest, context: Any
    ) -> tokens_pb2.RotateTokenKeysResponse:
        told = await self._ring.rotate_now(revoke=request.revoke)
        return tokens_pb2.RotateTokenKeysResponse(keys=told)


def _check(revision: int) -> None:
    if revision < 0:
        raise InvalidRequest(f"revision is {revision}, expected 0 or more")
