"""gRPC the way every program of ours speaks it: mutual TLS, one error table, streams that resume."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import grpc
import grpc.aio
from google.protobuf.any_pb2 import Any as AnyMessage
from google.rpc.error_details_pb2 import ErrorInfo
from google.rpc.status_pb2 import Status

from sluice_runtime.logs import get_logger

log = get_logger(__name__)
M = TypeVar("M")

# The name in the server's certificate, whatever address it is reached at.
SERVER_NAME = "control-plane.sluice.internal"
# A map of 600,000 prefixes is 8 MB; a message larger than this is a mistake.
MESSAGE_BYTES_MAX = 64 * 1024 * 1024
ERROR_DOMAIN = "sluice"
_DETAILS_KEY = "grpc-status-details-bin"

_KEEPALIVE: list[tuple[str, Any]] = [
    ("grpc.keepalive_time_ms", 5_000),
    ("grpc.keepalive_timeout_ms", 3_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_ping_interval_without_data_ms", 4_000),
    ("grpc.http2.max_ping_strikes", 0),
    ("grpc.max_receive_message_length", MESSAGE_BYTES_MAX),
    ("grpc.max_send_message_length", MESSAGE_BYTES_MAX),
]


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """Three PEM files: whom we trust, who we are, and the key that proves it."""

    certificate_authority: Path
    certificate: Path
    key: Path

    @classmethod
    def in_folder(cls, folder: Path) -> "TlsFiles":
        """The names that `sluice-control-plane` writes: `ca.pem`, `cert.pem`, `key.pem`."""
        return cls(folder / "ca.pem", folder / "cert.pem", folder / "key.pem")


def open_channel(target: str, tls: TlsFiles) -> grpc.aio.Channel:
    """A channel with our client certificate. Raises OSError where a file cannot be read."""
    credentials = grpc.ssl_channel_credentials(
        root_certificates=tls.certificate_authority.read_bytes(),
        private_key=tls.key.read_bytes(),
        certificate_chain=tls.certificate.read_bytes(),
    )
    return _channel(target, credentials)


def open_anonymous_channel(target: str, certificate_authority: bytes) -> grpc.aio.Channel:
    """A channel without a client certificate, for enrolment: the server is still verified."""
    return _channel(target, grpc.ssl_channel_credentials(root_certificates=certificate_authority))


def _channel(target: str, credentials: grpc.ChannelCredentials) -> grpc.aio.Channel:
    options = [
        *_KEEPALIVE,
        ("grpc.ssl_target_name_override", SERVER_NAME),
        ("grpc.initial_reconnect_backoff_ms", 250),
        ("grpc.min_reconnect_backoff_ms", 250),
        ("grpc.max_reconnect_backoff_ms", 2_000),
        # Two channels to one target (with and without a certificate) must not share a connection.
        ("grpc.use_local_subchannel_pool", 1),
    ]
    return grpc.aio.secure_channel(target, credentials, options=options)


def server_credentials(tls: TlsFiles, *, want_client_certificate: bool) -> grpc.ServerCredentials:
    pair = (tls.key.read_bytes(), tls.certificate.read_bytes())
    authority = tls.certificate_authority.read_bytes() if want_client_certificate else None
    return grpc.ssl_server_credentials(
        [pair], root_certificates=authority, require_client_auth=want_client_certificate
    )


def server_options() -> list[tuple[str, Any]]:
    # Without SO_REUSEPORT a second server on the port is refused instead of sharing its calls.
    return [*_KEEPALIVE, ("grpc.so_reuseport", 0)]


def peer_uri(context: grpc.aio.ServicerContext[Any, Any]) -> str | None:
    """The URI in the caller's certificate, such as `spiffe://sluice/appliance/a-1`."""
    names = context.auth_context().get("x509_subject_alternative_name", [])
    return next((name.decode() for name in names if name.startswith(b"spiffe://")), None)


@dataclass(frozen=True, slots=True)
class RpcStatus:
    """What an error of ours is on the wire."""

    code: grpc.StatusCode
    # UPPER_SNAKE_CASE, stable: clients switch on it.
    reason: str


ErrorTable = Mapping[type[Exception], RpcStatus]


class ErrorsToStatus(grpc.aio.ServerInterceptor):
    """Turns our exceptions into a status with an ErrorInfo; anything else is INTERNAL and logged."""

    def __init__(self, table: ErrorTable) -> None:
        self._table = table

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        handler: Any = await continuation(handler_call_details)
        if handler is None:
            return handler
        method = handler_call_details.method
        if handler.unary_unary is not None:
            return grpc.unary_unary_rpc_method_handler(
                self._unary(handler.unary_unary, method),
                handler.request_deserializer,
                handler.response_serializer,
            )
        if handler.unary_stream is not None:
            return grpc.unary_stream_rpc_method_handler(
                self._stream(handler.unary_stream, method),
                handler.request_deserializer,
                handler.response_serializer,
            )
        return handler

    def _unary(self, behaviour: Any, method: str) -> Any:
        async def guarded(request: Any, context: Any) -> Any:
            try:
                return await behaviour(request, context)
            except Exception as error:
                await self._abort(context, method, error)

        return guarded

    def _stream(self, behaviour: Any, method: str) -> Any:
        async def guarded(request: Any, context: Any) -> AsyncIterator[Any]:
            try:
                async for response in behaviour(request, context):
                    yield response
            except Exception as error:
                await self._abort(context, method, error)

        return guarded

    async def _abort(self, context: Any, method: str, error: Exception) -> NoReturn:
        if isinstance(error, grpc.aio.AbortError):
            raise error
        status = next(
            (self._table[kind] for kind in type(error).__mro__ if kind in self._table), None
        )
        if status is None:
            log.error("rpc_failed", method=method, error=repr(error), exc_info=error)
            status = RpcStatus(grpc.StatusCode.INTERNAL, "INTERNAL")
            await abort(context, status, "internal error; the server's log says more")
        await abort(context, status, str(error))


async def abort(context: Any, status: RpcStatus, message: str) -> NoReturn:
    """Ends a call with a status and its ErrorInfo."""
    detail = AnyMessage()
    detail.Pack(ErrorInfo(reason=status.reason, domain=ERROR_DOMAIN))
    number: int = status.code.value[0]
    rich = Status(code=number, message=message, details=[detail])
    await context.abort(
        status.code, message, trailing_metadata=((_DETAILS_KEY, rich.SerializeToString()),)
    )
    raise AssertionError("abort returns never")


def error_reason(error: grpc.aio.AioRpcError) -> str:
    """The ErrorInfo reason of a failed call, or the empty string."""
    for key, value in error.trailing_metadata() or ():
        if key == _DETAILS_KEY and isinstance(value, bytes):
            for detail in Status.FromString(value).details:
                info = ErrorInfo()
                if detail.Unpack(info):
                    return str(info.reason)
    return ""


async def follow(
    open_stream: Callable[[int], AsyncIterator[M]],
    revision_of: Callable[[M], int],
    *,
    revision: int,
    rng: random.Random,
    on_break: Callable[[str], None],
    retry_longest_s: float = 2.0,
) -> AsyncIterator[M]:
    """Yields the messages of a watch for ever: a stream that breaks is opened again from the last
    revision seen, after a random wait of at most `retry_longest_s`. `on_break` hears why."""
    while True:
        try:
            async for message in open_stream(revision):
                revision = revision_of(message)
                yield message
            on_break("the server ended the stream")
        except grpc.aio.AioRpcError as error:
            on_break(f"{error.code().name}: {error.details()}")
        await asyncio.sleep(rng.uniform(0.2, retry_longest_s))
