"""Watches the control plane's steering map and lets in only what its key signed."""

from collections.abc import AsyncIterator, Callable

import grpc.aio
from cryptography.exceptions import UnsupportedAlgorithm

from sluice.steering.v1 import map_pb2, steering_pb2, steering_pb2_grpc
from sluice_runtime.signatures import SignatureRefused, Verifier, load_verification_key
from sluice_services.following.errors import UpdateRefused
from sluice_services.following.follower import Offer
from sluice_services.playback.steering_map import MapMalformed, SteeringView, read_map

MAP_PURPOSE = map_pb2.SteeringMap.DESCRIPTOR.full_name
_PEM_END = b"-----END PUBLIC KEY-----"


def map_watch(channel: grpc.aio.Channel) -> Callable[[int], AsyncIterator[Offer]]:
    stub = steering_pb2_grpc.SteeringServiceStub(channel)

    async def open_watch(revision: int) -> AsyncIterator[Offer]:
        async for message in stub.WatchMap(steering_pb2.WatchMapRequest(revision=revision)):
            yield Offer(message.map.SerializeToString())

    return open_watch


def map_reader(verifier: Verifier) -> Callable[[bytes], SteeringView]:
    """Reads a serialised SignedMap, from the wire or from disk. Raises UpdateRefused, DecodeError."""

    def accept(encoded: bytes) -> SteeringView:
        signed = map_pb2.SignedMap.FromString(encoded)
        try:
            verifier.verify(
                MAP_PURPOSE, signed.payload, signature=signed.signature, by=signed.key_id
            )
            return read_map(signed.payload)
        except SignatureRefused as error:
            raise UpdateRefused("signature", str(error)) from None
        except MapMalformed as error:
            raise UpdateRefused("malformed", str(error)) from None

    return accept


def trusted_keys(pem: bytes) -> Verifier:
    """One or more public keys, one after the other. Raises ValueError."""
    blocks = [block + _PEM_END for block in pem.split(_PEM_END)[:-1]]
    if not blocks:
        raise ValueError("no public key in PEM")
    try:
        return Verifier(load_verification_key(block.strip()) for block in blocks)
    except UnsupportedAlgorithm as error:
        raise ValueError(str(error)) from None
