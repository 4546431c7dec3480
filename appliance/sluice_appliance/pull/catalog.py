"""What the control plane says of single objects: asked once for all who want to know, believed for a while."""

import asyncio
from collections import OrderedDict
from typing import Protocol

import grpc.aio

from sluice.fill.v1 import fill_pb2, fill_pb2_grpc
from sluice_appliance.fill.source_book import SOURCES_MAX, SourcesUnknown
from sluice_appliance.fill.sources import source_from_wire
from sluice_appliance.object_key import InvalidObjectKey, parse_key
from sluice_appliance.pull.verifying import Located
from sluice_appliance.store.layout import LayoutError, ObjectHeader, check_header

# A viewer waits for it.
_CALL_TIMEOUT_S = 3.0
# Sources come and go, and the tokens in their names run out.
BELIEVED_S = 10.0
# Objects that are remembered: the digests of a large one's blocks are 16 bytes a MiB.
REMEMBERED_MAX = 1024


class LooksUp(Protocol):
    """The control plane, as far as a pull needs it."""

    async def look_up(self, key: str) -> Located | None:
        """None where no title has it. Raises SourcesUnknown."""
        ...


class FillCatalog:
    """The control plane's FillService. `appliance` is `appliances/{appliance}`."""

    def __init__(self, channel: grpc.aio.Channel, *, appliance: str) -> None:
        self._stub = fill_pb2_grpc.FillServiceStub(channel)
        self._appliance = appliance

    async def look_up(self, key: str) -> Located | None:
        """Raises SourcesUnknown."""
        request = fill_pb2.LookUpObjectRequest(appliance=self._appliance, key=key)
        try:
            answer = await self._stub.LookUpObject(request, timeout=_CALL_TIMEOUT_S)
        except grpc.aio.AioRpcError as error:
            if error.code() in (grpc.StatusCode.NOT_FOUND, grpc.StatusCode.INVALID_ARGUMENT):
                return None
            raise SourcesUnknown(f"LookUpObject: {error.code().name}: {error.details()}") from None
        return _located(key, answer)


def _located(key: str, answer: fill_pb2.LookUpObjectResponse) -> Located:
    """Raises SourcesUnknown for an answer that is none."""
    wire = answer.object
    try:
        header = ObjectHeader(parse_key(wire.key), wire.size_bytes, wire.sha256, wire.content_type)
        check_header(header)
    except (InvalidObjectKey, LayoutError) as error:
        raise SourcesUnknown(f"LookUpObject of {key}: {error}") from None
    if header.key != key:
        raise SourcesUnknown(f"LookUpObject of {key} told of {header.key}")
    # Waits are left aside: a viewer is waiting, and only for the blocks that it asked for.
    sources = tuple(source_from_wire(source) for source in answer.sources[:SOURCES_MAX])
    return Located(header, answer.block_digests or None, sources)


class Catalog:
    """What is known of objects. The control plane is there once the box has joined it."""

    def __init__(self) -> None:
        self._asks: LooksUp | None = None
        self._known: OrderedDict[str, tuple[float, Located]] = OrderedDict()

    def joined(self, control_plane: LooksUp) -> None:
        """From now on it can be asked."""
        self._asks = control_plane

    def known(self, key: str) -> Located | None:
        """What was said last, however long ago."""
        found = self._known.get(key)
        return None if found is None else found[1]

    def fresh(self, key: str) -> Located | None:
        """What was said of late."""
        found = self._known.get(key)
        return found[1] if found is not None and _now() - found[0] < BELIEVED_S else None

    async def find(self, key: str) -> Located | None:
        """Asks; while the control plane cannot be asked, its last answer counts. Raises SourcesUnknown."""
        if self._asks is None:
            raise SourcesUnknown("the box has not joined its control plane yet")
        try:
            found = await self._asks.look_up(key)
        except SourcesUnknown:
            last = self.known(key)
            if last is None:
                raise
            return last
        if found is None:
            self._known.pop(key, None)
            return None
        self._known[key] = _now(), found
        self._known.move_to_end(key)
        while len(self._known) > REMEMBERED_MAX:
            self._known.popitem(last=False)
        return found


def _now() -> float:
    return asyncio.get_running_loop().time()
