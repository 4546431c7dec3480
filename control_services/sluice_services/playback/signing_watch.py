"""Watches the keys that playback URLs are signed with."""

from collections.abc import AsyncIterator, Callable

import grpc.aio

from sluice.tokens.v1 import tokens_pb2, tokens_pb2_grpc
from sluice_services.following.errors import UpdateRefused
from sluice_services.following.follower import Offer
from sluice_services.playback.tokens import SigningKeys, SigningKeysUnusable, read_signing_keys


def signing_keys_watch(channel: grpc.aio.Channel) -> Callable[[int], AsyncIterator[Offer]]:
    stub = tokens_pb2_grpc.TokenKeyServiceStub(channel)

    async def open_watch(revision: int) -> AsyncIterator[Offer]:
        request = tokens_pb2.WatchSigningKeysRequest(revision=revision)
        async for message in stub.WatchSigningKeys(request):
            yield Offer(message.SerializeToString())

    return open_watch


def read_offered_keys(encoded: bytes) -> SigningKeys:
    """Raises UpdateRefused, DecodeError."""
    try:
        return read_signing_keys(tokens_pb2.WatchSigningKeysResponse.FromString(encoded))
    except SigningKeysUnusable as error:
        raise UpdateRefused("malformed", str(error)) from None
