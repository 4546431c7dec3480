"""Stands before every method: asks the table, and counts what is refused."""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Protocol

import grpc
import grpc.aio
from google.protobuf.message import DecodeError

from sluice_control_plane.errors import ERRORS, InvalidRequest, Refusal, reason_of
from sluice_control_plane.identity.roles import Caller, admit, caller_of
from sluice_runtime.rpc import abort, peer_uri


class Tally(Protocol):
    """Counts refused calls by reason; the reasons are those of the error table."""

    def refused(self, reason: str) -> None: ...


def caller(context: Any) -> Caller:
    """Who calls, for handlers behind the gate."""
    return caller_of(peer_uri(context))


class Gate(grpc.aio.ServerInterceptor):
    """Admits callers by role. With `anonymous`, only the methods named there, and asks for nobody."""

    def __init__(self, tally: Tally, *, anonymous: frozenset[str] = frozenset()) -> None:
        self._tally = tally
        self._anonymous = anonymous

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        handler: Any = await continuation(handler_call_details)
        if handler is None:
            return handler
        method = handler_call_details.method
        codecs = (_lenient(handler.request_deserializer), handler.response_serializer)
        if handler.unary_unary is not None:
            behaviour = self._unary(handler.unary_unary, method)
            return grpc.unary_unary_rpc_method_handler(behaviour, *codecs)
        if handler.unary_stream is not None:
            behaviour = self._stream(handler.unary_stream, method)
            return grpc.unary_stream_rpc_method_handler(behaviour, *codecs)
        assert handler.stream_stream is not None, f"{method} takes a stream and gives one answer"
        behaviour = self._stream(handler.stream_stream, method)
        return grpc.stream_stream_rpc_method_handler(behaviour, *codecs)

    def _unary(self, behaviour: Any, method: str) -> Any:
        async def admitted(request: Any, context: Any) -> Any:
            try:
                self._admit(method, request, context)
                return await behaviour(request, context)
            except Exception as error:
                self._tally.refused(reason_of(error))
                raise

        return admitted

    def _stream(self, behaviour: Any, method: str) -> Any:
        async def admitted(request: Any, context: Any) -> AsyncIterator[Any]:
            try:
                self._admit(method, request, context)
                async for response in behaviour(request, context):
                    yield response
            except Refusal as error:
                self._tally.refused(reason_of(error))
                # Streams of requests pass by the error table of the runtime kit.
                kind = next(kind for kind in type(error).__mro__ if kind in ERRORS)
                await abort(context, ERRORS[kind], str(error))
            except Exception as error:
                self._tally.refused(reason_of(error))
                raise

        return admitted

    def _admit(self, method: str, request: Any, context: Any) -> None:
        if method not in self._anonymous:
            admit(method, caller(context))
        if isinstance(request, _Malformed):
            raise InvalidRequest(f"{method}: {request.size_bytes} bytes that are not its request")


@dataclass(frozen=True, slots=True)
class _Malformed:
    """Stands for a request that could not be read."""

    size_bytes: int


def _lenient(deserialise: Callable[[bytes], Any] | None) -> Callable[[bytes], Any] | None:
    """Left to itself, gRPC answers bytes that are no message with INTERNAL and a traceback."""
    if deserialise is None:
        return None

    def read(body: bytes) -> Any:
        try:
            return deserialise(body)
        except DecodeError:
            return _Malformed(len(body))

    return read
