"""What a worker tells of its requests: which are recorded, and with what.

A request that is not recorded pays a decrement and a comparison at its connection, see `sampling.py`.
Requests that failed have an allowance of their own, so that a crowd of good ones does not drown them.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from sluice_appliance.serving import cmcd, tally
from sluice_appliance.serving.record_writer import RecordWriter
from sluice_appliance.serving.records import Exchange, encode, record_of
from sluice_appliance.serving.sampling import Sampler
from sluice_appliance.serving.shown import ClientShown

# Of requests that failed (400 and above), for each one that may be recorded of the others.
_FAILURES_SHARE = 4
_WINDOW_S = 1.0


@dataclass(frozen=True, slots=True)
class Telling:
    """What the operator asks to be told; the pool hands it to its workers as JSON."""

    # The file that records are appended to; "" for none.
    records: str = ""
    # What each worker records of a second, all while there are fewer; failures a quarter of it on top.
    records_per_s: int = 200
    # How much of a client's address is recorded: a `ClientShown`.
    clients: str = ClientShown.NETWORK.value
    # Who tells.
    appliance: str = ""

    def __post_init__(self) -> None:
        if self.records_per_s < 1:
            raise ValueError(f"records_per_s is {self.records_per_s}, expected 1 or more")
        ClientShown(self.clients)


class Sink(Protocol):
    """Where lines go; it never waits."""

    def put(self, line: bytes) -> None: ...


class Teller:
    """Records the requests that a connection counts down to.

    sampler = teller.failures if status >= 400 else teller.requests
    sampler.countdown -= 1
    if not sampler.countdown:
        teller.tell(sampler, Exchange(...))
    """

    def __init__(
        self,
        telling: Telling,
        sink: Sink,
        row: "memoryview[int]",
        *,
        worker: int,
        wall_clock: Callable[[], float],
    ) -> None:
        self.requests = Sampler(telling.records_per_s)
        self.failures = Sampler(max(1, telling.records_per_s // _FAILURES_SHARE))
        self._appliance = telling.appliance
        self._shown = ClientShown(telling.clients)
        self._sink = sink
        self._row = row
        self._worker = worker
        self._wall_clock = wall_clock
        self._window_ends = 0.0

    def tell(self, sampler: Sampler, exchange: Exchange) -> None:
        """Records an exchange that its sampler has counted down to."""
        weight = sampler.take()
        told = cmcd.decode(exchange.target, exchange.fields)
        self._row[tally.RECORDS_SAMPLED_OUT] += weight - 1
        if told is not None:
            self._row[tally.CMCD_PAIRS_DROPPED] += told.dropped
        record = record_of(
            exchange,
            told,
            now=self._wall_clock(),
            appliance=self._appliance,
            worker=self._worker,
            shown=self._shown,
            weight=weight,
        )
        self._sink.put(encode(record))

    def tick(self, now: float) -> None:
        """Called a few times a second with the worker's clock: learns how many to record."""
        if now >= self._window_ends:
            self._window_ends = now + _WINDOW_S
            self.requests.renew()
            self.failures.renew()


@contextmanager
def open_teller(
    telling: Telling, row: "memoryview[int]", *, worker: int, wall_clock: Callable[[], float]
) -> Iterator[Teller | None]:
    """A teller and the thread that writes for it, while the block runs; None where none is asked for."""
    if not telling.records:
        yield None
        return
    writer = RecordWriter(Path(telling.records), row)
    writer.start()
    try:
        yield Teller(telling, writer, row, worker=worker, wall_clock=wall_clock)
    finally:
        writer.close()
