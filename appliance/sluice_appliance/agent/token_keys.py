"""Follows the control plane's token keys, and keeps them twice: as signed, and as workers read them.

The signed file is what a start without the control plane goes by; the workers' file is made from it anew,
so that what they trust was signed, whatever became of the disk meanwhile.
"""

import asyncio
import random
from collections.abc import AsyncIterator
from pathlib import Path

import grpc.aio
from google.protobuf.message import DecodeError

from sluice.tokens.v1 import tokens_pb2, tokens_pb2_grpc
from sluice_appliance.agent.key_set import KeySetRefused, open_key_set
from sluice_appliance.agent.tally import AgentTally
from sluice_runtime.files import write_atomically
from sluice_runtime.logs import get_logger
from sluice_runtime.rpc import follow
from sluice_runtime.signatures import Verifier

log = get_logger(__name__)

# A disk that is full or failing; keys are announced days before they sign.
RETRY_AFTER_S = 10.0


class TokenKeysInForce:
    """Takes key sets that are signed and not older; keeps the last one in `signed` and `for_workers`."""

    def __init__(
        self, signed: Path, for_workers: Path, *, verifier: Verifier, tally: AgentTally
    ) -> None:
        self._signed = signed
        self._for_workers = for_workers
        self._verifier = verifier
        self._tally = tally
        self.revision = 0

    async def load(self) -> None:
        """Takes up the key set of the last run, if there is one that can be trusted."""
        try:
            content = await asyncio.to_thread(self._signed.read_bytes)
            signed = tokens_pb2.SignedTokenKeys.FromString(content)
        except FileNotFoundError:
            return
        except (OSError, DecodeError) as error:
            log.warning("token_keys_unreadable", path=str(self._signed), reason=str(error))
            return
        if (keys := self._open(signed)) is not None:
            await self._keep(self._for_workers, keys)

    async def take(self, signed: tokens_pb2.SignedTokenKeys) -> bool:
        """Puts a newer key set in force; False where the disk did not take it: come again."""
        held = self.revision
        keys = self._open(signed)
        if keys is None or self.revision == held:
            return True
        # Workers first: what is in force at once matters more than what a restart finds.
        if not await self._keep(self._for_workers, keys):
            self.revision = held
            return False
        await self._keep(self._signed, signed.SerializeToString())
        self._tally.token_keys_taken()
        log.info("token_keys_taken", revision=self.revision)
        return True

    def _open(self, signed: tokens_pb2.SignedTokenKeys) -> bytes | None:
        try:
            revision, keys = open_key_set(
                signed, verifier=self._verifier, held_revision=self.revision
            )
        except KeySetRefused as error:
            self._tally.token_keys_refused(error.refusal)
            log.error("token_keys_refused", reason=str(error))
            return None
        self.revision = revision
        return keys

    async def _keep(self, path: Path, content: bytes) -> bool:
        try:
            await asyncio.to_thread(write_atomically, path, content)
        except OSError as error:
            self._tally.token_keys_unkept()
            log.error("token_keys_unkept", path=str(path), reason=str(error))
            return False
        return True


async def follow_token_keys(
    channel: grpc.aio.Channel, in_force: TokenKeysInForce, *, rng: random.Random
) -> None:
    """Until cancelled, whatever happens to streams. One that breaks goes on from what was taken."""
    stub = tokens_pb2_grpc.TokenKeyServiceStub(channel)

    def open_stream(_: int) -> AsyncIterator[tokens_pb2.WatchTokenKeysResponse]:
        request = tokens_pb2.WatchTokenKeysRequest(revision=in_force.revision)
        call: AsyncIterator[tokens_pb2.WatchTokenKeysResponse] = aiter(stub.WatchTokenKeys(request))
        return call

    def broke(reason: str) -> None:
        log.info("token_keys_watch_broke", reason=reason)

    async for message in follow(
        open_stream, lambda _: in_force.revision, revision=0, rng=rng, on_break=broke
    ):
        await _take_in_the_end(in_force, message.keys)


async def _take_in_the_end(in_force: TokenKeysInForce, signed: tokens_pb2.SignedTokenKeys) -> None:
    while True:
        if await in_force.take(signed):
            return
        await asyncio.sleep(RETRY_AFTER_S)
