"""Every refusal that a caller may hear, grouped by what the caller does next, and its status code."""

import grpc

from sluice_runtime.rpc import ErrorTable, RpcStatus


class Refusal(Exception):
    """A call is refused. The message has names and numbers."""


class InvalidRequest(Refusal):
    """The request can never succeed as it is."""


class RequestIdReused(InvalidRequest):
    """The request id was used for a different request."""


class InvalidSigningRequest(InvalidRequest):
    """The certificate signing request cannot be signed."""


class NotFound(Refusal):
    """The resource is not there."""


class AlreadyExists(Refusal):
    """The resource is there."""


class EtagMismatch(Refusal):
    """The resource has changed: read it again and decide anew."""


class NotAllowed(Refusal):
    """The caller's role may not do this."""


class NotKnown(Refusal):
    """The caller has not said who it is."""


class TokenRefused(Refusal):
    """The enrolment token is unknown, used or expired: ask for a new one."""


class TooMany(Refusal):
    """A bound is reached: try later."""


class NotReady(Refusal):
    """The answer does not exist yet: try later."""


ERRORS: ErrorTable = {
    InvalidRequest: RpcStatus(grpc.StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST"),
    RequestIdReused: RpcStatus(grpc.StatusCode.INVALID_ARGUMENT, "REQUEST_ID_REUSED"),
    InvalidSigningRequest: RpcStatus(
        grpc.StatusCode.INVALID_ARGUMENT, "INVALID_CERTIFICATE_SIGNING_REQUEST"
    ),
    NotFound: RpcStatus(grpc.StatusCode.NOT_FOUND, "NOT_FOUND"),
    AlreadyExists: RpcStatus(grpc.StatusCode.ALREADY_EXISTS, "ALREADY_EXISTS"),
    EtagMismatch: RpcStatus(grpc.StatusCode.ABORTED, "ETAG_MISMATCH"),
    NotAllowed: RpcStatus(grpc.StatusCode.PERMISSION_DENIED, "NOT_ALLOWED"),
    NotKnown: RpcStatus(grpc.StatusCode.UNAUTHENTICATED, "NOT_KNOWN"),
    TokenRefused: RpcStatus(grpc.StatusCode.UNAUTHENTICATED, "TOKEN_REFUSED"),
    TooMany: RpcStatus(grpc.StatusCode.RESOURCE_EXHAUSTED, "TOO_MANY"),
    NotReady: RpcStatus(grpc.StatusCode.UNAVAILABLE, "NOT_READY"),
}
INTERNAL = "INTERNAL"


def reason_of(error: Exception) -> str:
    """The ErrorInfo reason that a caller hears for `error`: one of the table's, or INTERNAL."""
    return next((ERRORS[kind].reason for kind in type(error).__mro__ if kind in ERRORS), INTERNAL)
