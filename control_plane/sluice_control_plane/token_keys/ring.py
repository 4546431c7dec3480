"""Keeps the token keys: rotates them in time, signs the key set, and shows both halves to who watches.

A change is in the database before anybody hears of it.
"""

import asyncio
from collections.abc import Callable

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy.exc import SQLAlchemyError

from sluice.tokens.v1 import tokens_pb2
from sluice_control_plane.database import Database
from sluice_control_plane.documents import NEVER, Document, keep_document, read_documents
from sluice_control_plane.metrics import Metrics
from sluice_control_plane.token_keys.material import key_set, new_key, private_key, signing_keys
from sluice_control_plane.token_keys.rotation import Rotation, rotate, rotate_now
from sluice_control_plane.token_keys.storage import StoredKey, read_keys, replace_keys
from sluice_control_plane.watching import Published
from sluice_runtime.logs import get_logger
from sluice_runtime.signatures import key_id, sign

log = get_logger(__name__)

DOCUMENT = "token-keys"
PURPOSE = tokens_pb2.TokenKeySet.DESCRIPTOR.full_name
# Keys are announced days ahead; a minute is soon enough, after a failed write too.
LOOK_EVERY_S = 60.0


class TokenKeyRing:
    """`public` is what appliances watch, `private` what playback services do."""

    def __init__(
        self,
        database: Database,
        signing_key: Ed25519PrivateKey,
        *,
        policy: tokens_pb2.TokenPolicy.ValueType,
        issuer: str,
        clock: Callable[[], float],
        metrics: Metrics,
    ) -> None:
        self._database = database
        self._signing_key = signing_key
        self._policy = policy
        self._issuer = issuer
        self._clock = clock
        self._metrics = metrics
        self._keys: tuple[StoredKey, ...] = ()
        self._turn = asyncio.Lock()
        self.told = tokens_pb2.TokenKeySet()
        self.public: Published[tokens_pb2.SignedTokenKeys] = Published(
            on_watchers=metrics.watchers.labels("token_keys").inc
        )
        self.private: Published[tokens_pb2.WatchSigningKeysResponse] = Published(
            on_watchers=metrics.watchers.labels("signing_keys").inc
        )

    @property
    def policy(self) -> tokens_pb2.TokenPolicy.ValueType:
        return self._policy

    @property
    def issuer(self) -> str:
        return self._issuer

    def signer(self, now: float) -> tuple[str, ec.EllipticCurvePrivateKey]:
        """The key that signs at `now`, and its id."""
        ready = [each for each in self._keys if each.key.sign_time <= now]
        # The oldest, where a clock went back before all of them.
        signing = ready[-1] if ready else self._keys[0]
        return signing.key.key_id, private_key(signing)

    async def restore(self) -> None:
        """Takes up what an earlier run kept, and does what is due."""
        async with self._database.read() as connection:
            self._keys = tuple(await read_keys(connection))
            kept = (await read_documents(connection)).get(DOCUMENT, NEVER)
        if kept is not NEVER:
            self._show(kept)
        await self._look()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            revision = self.told.revision
            try:
                await self._look()
                if self.told.revision != revision:
                    self._log_keys()
            except (SQLAlchemyError, OSError) as error:
                self._metrics.token_key_failures.inc()
                log.error("token_keys_unkept", error=str(error), retry_in_s=LOOK_EVERY_S)

    async def rotate_now(self, *, revoke: bool) -> tokens_pb2.TokenKeySet:
        """Raises TooMany, SQLAlchemyError."""
        async with self._turn:
            now = self._clock()
            keys = [each.key for each in self._keys]
            await self._take(rotate_now(keys, now, revoke=revoke), now)
        self._log_keys()
        return self.told

    def close(self) -> None:
        """Ends every watch."""
        self.public.close()
        self.private.close()

    async def _look(self) -> None:
        async with self._turn:
            now = self._clock()
            await self._take(rotate([each.key for each in self._keys], now), now)

    async def _take(self, rotation: Rotation, now: float) -> None:
        private = {each.key.key_id: each.private_key for each in self._keys}
        keys = [StoredKey(key, private[key.key_id]) for key in rotation.keys]
        if rotation.next_sign_time is not None:
            keys.append(new_key(rotation.next_sign_time))
        told = key_set(keys, self._policy, self._issuer)
        told.revision = self.told.revision
        told.create_time.CopyFrom(self.told.create_time)
        if told == self.told and self.public.value is not None:
            return
        told.revision += 1
        told.create_time.FromMicroseconds(int(now * 1e6))
        document = Document(told.revision, told.SerializeToString())
        async with self._database.write() as connection:
            await replace_keys(connection, keys)
            await keep_document(connection, DOCUMENT, document)
        self._keys = tuple(keys)
        self._show(document)

    def _show(self, document: Document) -> None:
        self.told = tokens_pb2.TokenKeySet.FromString(document.payload)
        self._metrics.token_keys_revision.set(document.revision)
        signed = tokens_pb2.SignedTokenKeys(
            payload=document.payload,
            signature=sign(self._signing_key, PURPOSE, document.payload),
            key_id=key_id(self._signing_key.public_key()),
        )
        self.public.publish(document.revision, signed)
        self.private.publish(document.revision, signing_keys(self._keys, self.told, self._clock()))

    def _log_keys(self) -> None:
        keys = [key.key_id for key in self.told.keys]
        log.info("token_keys_rotated", revision=self.told.revision, keys=keys)
