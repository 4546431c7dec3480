"""What a connection needs of its worker."""

from collections.abc import Callable, Mapping
from typing import NamedTuple, Protocol

from sluice_appliance.serving.answering import Answerer
from sluice_appliance.serving.cache_status import Outcome
from sluice_appliance.serving.cold_reads import ColdReads
from sluice_appliance.serving.events import Poller, Watched
from sluice_appliance.serving.hot import Hot
from sluice_appliance.serving.limits import Limits
from sluice_appliance.serving.memo import HeadMemo
from sluice_appliance.serving.telling import Teller


class Client(Watched, Protocol):
    """Who was accepted: a handshake, then a connection."""

    # The address.
    client: str

    def check(self) -> None: ...


class Tails(NamedTuple):
    """The fields that change by the second or by outcome, and the end of a head: to stay, to close, to
    stay for an HTTP/1.0 client."""

    stay: bytes
    close: bytes
    keep_alive: bytes


class Host(Protocol):
    """`now` and the tails are renewed a few times a second."""

    poller: Poller
    memo: HeadMemo
    answerer: Answerer
    cold_reads: ColdReads
    hot: Hot
    teller: Teller | None
    limits: Limits
    row: "memoryview[int]"
    now: float
    clock: Callable[[], float]
    draining: bool
    # Connections run out.
    crowded: bool
    tails: Mapping[Outcome, Tails]
    # The tails of what is in memory.
    hot_tails: Tails

    def gone(self, client: Client) -> None: ...
