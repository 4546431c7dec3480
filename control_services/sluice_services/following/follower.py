"""Follows one watch of the control plane and keeps what it last said, in memory and in one file.

A file and not a cache library: there are two values, each replaced whole and read only at a start;
diskcache is quicker to write because it syncs nothing (tests/benchmarks/packages/bench.py), and what is
kept here must outlive a power cut.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from google.protobuf.message import DecodeError

from sluice_runtime import rpc
from sluice_runtime.files import write_atomically
from sluice_runtime.logs import get_logger
from sluice_services.following.errors import UpdateRefused
from sluice_services.metrics import GatewayMetrics

log = get_logger(__name__)

# A known good file larger than a message may be was not written by us.
FILE_BYTES_MAX = rpc.MESSAGE_BYTES_MAX


class Revisioned(Protocol):
    """A value of a watch."""

    @property
    def revision(self) -> int:
        """Grows with every change."""


V = TypeVar("V", bound=Revisioned)


@dataclass(frozen=True, slots=True)
class Offer:
    """One message of the watch, as it is kept on disk."""

    encoded: bytes


@dataclass(frozen=True, slots=True)
class Held(Generic[V]):
    """What answers are made from."""

    value: V
    # When the control plane said it, as far as we know: for what came from disk, the file's time.
    heard_at: float
    from_disk: bool


class Follower(Generic[V]):
    """`accept` makes a value of a message's bytes or raises UpdateRefused; `held` is the newest."""

    def __init__(
        self,
        kind: str,
        *,
        file: Path,
        open_watch: Callable[[int], AsyncIterator[Offer]],
        accept: Callable[[bytes], V],
        metrics: GatewayMetrics,
        clock: Callable[[], float],
        rng: random.Random,
        mode: int = 0o644,
    ) -> None:
        self.kind = kind
        self.held: Held[V] | None = None
        self.connected = False
        self._file = file
        self._open_watch = open_watch
        self._accept = accept
        self._metrics = metrics
        self._clock = clock
        self._rng = rng
        self._mode = mode
        self._break_said = False

    def load(self) -> None:
        """Takes the last known good from disk, if there is one that is good."""
        try:
            if (size_bytes := self._file.stat().st_size) > FILE_BYTES_MAX:
                raise UpdateRefused("malformed", f"{size_bytes} bytes, at most {FILE_BYTES_MAX}")
            encoded, heard_at = self._file.read_bytes(), self._file.stat().st_mtime
            self._take(self._value(encoded), heard_at, from_disk=True)
        except FileNotFoundError:
            return
        except (OSError, UpdateRefused) as error:
            self._metrics.known_good_failures.labels(self.kind).inc()
            log.warning(
                "known_good_refused", kind=self.kind, file=str(self._file), reason=str(error)
            )

    async def run(self) -> None:
        """Follows until cancelled."""
        revision = 0 if self.held is None else self.held.value.revision
        async for value, encoded in rpc.follow(
            self._accepted,
            lambda item: item[0].revision,
            revision=revision,
            rng=self._rng,
            on_break=self._on_break,
        ):
            self._take(value, self._clock(), from_disk=False)
            await self._keep(encoded)

    async def _accepted(self, revision: int) -> AsyncIterator[tuple[V, bytes]]:
        async for offer in self._open_watch(revision):
            if not self.connected:
                self.connected, self._break_said = True, False
                log.info("watch_open", kind=self.kind)
            try:
                value = self._value(offer.encoded)
                self._refuse_older(value)
            except UpdateRefused as refused:
                self._metrics.updates_refused.labels(self.kind, refused.reason).inc()
                log.error(
                    "update_refused", kind=self.kind, reason=refused.reason, message=str(refused)
                )
                continue
            yield value, offer.encoded

    def _value(self, encoded: bytes) -> V:
        try:
            return self._accept(encoded)
        except DecodeError:
            raise UpdateRefused(
                "malformed", f"{len(encoded)} bytes that are no {self.kind}"
            ) from None

    def _refuse_older(self, value: V) -> None:
        if self.held is not None and value.revision < self.held.value.revision:
            raise UpdateRefused(
                "older", f"revision {value.revision} after {self.held.value.revision}"
            )

    def _take(self, value: V, heard_at: float, *, from_disk: bool) -> None:
        self.held = Held(value, heard_at, from_disk)
        self._metrics.revision.labels(self.kind).set(value.revision)
        if not from_disk:
            self._metrics.updates.labels(self.kind).inc()
        log.info("update_taken", kind=self.kind, revision=value.revision, from_disk=from_disk)

    async def _keep(self, encoded: bytes) -> None:
        try:
            await asyncio.to_thread(write_atomically, self._file, encoded, mode=self._mode)
        except OSError as error:
            self._metrics.known_good_failures.labels(self.kind).inc()
            log.error("known_good_not_written", kind=self.kind, reason=str(error))

    def _on_break(self, why: str) -> None:
        self.connected = False
        self._metrics.watch_breaks.labels(self.kind).inc()
        if not self._break_said:
            # Once for each outage: it is tried again every second or so.
            self._break_said = True
            log.warning("watch_broken", kind=self.kind, reason=why)
