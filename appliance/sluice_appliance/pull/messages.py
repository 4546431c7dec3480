"""What serving workers and the supervisor say to each other of pulls: one message a packet.

A worker asks what an object is (`Look`), then for blocks of it (`Want`, as often as it goes on, with one
number a response) and says when nobody reads them any more (`Leave`). It is told what the object is
(`Facts`), is handed each block as a file in memory (`Block`, with a descriptor), is told which blocks to
let go (`Drop`) and what failed (`Failed`). A block never changes: who has one may send it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from typing import Final

import msgspec

# Of messages without a descriptor the largest are those that tell of requests.
MESSAGE_BYTES_MAX: Final = 16 * 1024
# So many entries of `Asked` go into one message.
ASKED_MAX: Final = 256


class Why(Enum):
    """What a pull came to that brought nothing; a label of counters."""

    # No title has it, or nobody can say: it is not here, and that is all.
    ABSENT = "absent"
    # Every source of it failed.
    UNAVAILABLE = "unavailable"
    # This box has enough to do.
    BUSY = "busy"


class Where(Enum):
    """From where a block came; a label of counters."""

    SOURCE = "source"
    FLASH = "flash"
    FILL = "fill"


class Message(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """One packet."""


class Look(Message, frozen=True):
    number: int
    key: str


class Want(Message, frozen=True):
    """Blocks `first` up to before `end`, on top of what this number wanted before of the same object."""

    number: int
    key: str
    first: int
    end: int


class Leave(Message, frozen=True):
    number: int


class Asked(Message, frozen=True):
    """Blocks that were asked for and found at the worker: (block, how often)."""

    key: str
    counts: list[tuple[int, int]]


class Facts(Message, frozen=True):
    number: int
    size_bytes: int
    sha256: bytes
    content_type: str


class Block(Message, frozen=True):
    """Comes with the descriptor of a file that is this block."""

    key: str
    block: int


class Drop(Message, frozen=True):
    key: str
    block: int


class Failed(Message, frozen=True):
    """All that this number waits for."""

    number: int
    why: Why


FromWorker = Look | Want | Leave | Asked
ToWorker = Facts | Block | Drop | Failed

encode = msgspec.msgpack.Encoder().encode
_from_worker: "msgspec.msgpack.Decoder[FromWorker]" = msgspec.msgpack.Decoder(FromWorker)
_to_worker: "msgspec.msgpack.Decoder[ToWorker]" = msgspec.msgpack.Decoder(ToWorker)


def decode_from_worker(packet: bytes) -> FromWorker:
    """Raises msgspec.DecodeError."""
    with _text_is_text():
        return _from_worker.decode(packet)


def decode_to_worker(packet: bytes) -> ToWorker:
    """Raises msgspec.DecodeError."""
    with _text_is_text():
        return _to_worker.decode(packet)


@contextmanager
def _text_is_text() -> Iterator[None]:
    """Of the name of a field that is no UTF-8, msgspec says so in an error of Python's."""
    try:
        yield
    except UnicodeDecodeError as error:
        raise msgspec.DecodeError(str(error)) from None
