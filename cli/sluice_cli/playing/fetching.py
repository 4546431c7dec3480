"""One HTTP request to one address: the expected bytes, or the fault that it has."""

import asyncio
import functools
import ssl
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

import aiohttp
from yarl import URL

from sluice_cli.playing.errors import FaultKind, FetchFault
from sluice_cli.playing.integrity import Expected

CONNECT_TIMEOUT_S = 2.0
# Nothing for this long is a stall; a player's buffer outlasts it.
STALL_TIMEOUT_S = 4.0
# However steadily it drips, a body that takes this long is no use to a viewer.
BODY_TIMEOUT_S = 30.0
_CHUNK_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True)
class Place:
    """Where a request goes: an address, and the name it is asked by."""

    scheme: str
    host: str
    address: str
    port: int
    # Path of the folder that holds the title's version, with both slashes.
    folder: str

    def __str__(self) -> str:
        address = f"[{self.address}]" if ":" in self.address else self.address
        return f"{address}:{self.port}"


@dataclass(frozen=True, slots=True)
class Fetched:
    """The expected bytes, how long they took, and who sent them."""

    body: bytes
    seconds: float
    place: Place


class HttpClient:
    """Keeps connections open between requests; use as a context manager."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._session = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(
                total=BODY_TIMEOUT_S, sock_connect=CONNECT_TIMEOUT_S, sock_read=STALL_TIMEOUT_S
            ),
            auto_decompress=False,
            headers={"Accept-Encoding": "identity", "User-Agent": "sluice-play"},
        )

    async def __aenter__(self) -> "HttpClient":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def fetch(self, place: Place, expected: Expected) -> Fetched:
        """Raises FetchFault for anything but the expected bytes."""
        started_at = self._clock()
        where = f"{expected.file} from {place}"
        try:
            async with self._request(place, expected) as response:
                _check_status(response, expected, where)
                body = await _read(response, expected, where)
        except (TimeoutError, aiohttp.ServerTimeoutError) as error:
            raise FetchFault(FaultKind.STALLED, f"{where}: no bytes in time ({error})") from None
        except (aiohttp.ClientConnectorError, aiohttp.ClientConnectorCertificateError) as error:
            raise FetchFault(FaultKind.REFUSED, f"{where}: {error}") from None
        except (aiohttp.ClientPayloadError, aiohttp.ServerDisconnectedError) as error:
            raise FetchFault(FaultKind.TRUNCATED, f"{where}: cut off ({error})") from None
        except (aiohttp.ClientResponseError, aiohttp.InvalidURL) as error:
            raise FetchFault(FaultKind.STATUS, f"{where}: not HTTP ({error})") from None
        except (aiohttp.ClientError, OSError) as error:
            raise FetchFault(FaultKind.TRUNCATED, f"{where}: {error}") from None
        seconds = self._clock() - started_at
        if not await asyncio.to_thread(expected.is_met_by, body):
            raise FetchFault(FaultKind.WRONG_BYTES, f"{where}: not the published bytes")
        return Fetched(body, seconds, place)

    def _request(
        self, place: Place, expected: Expected
    ) -> AbstractAsyncContextManager[aiohttp.ClientResponse]:
        headers = {"Host": f"{place.host}:{place.port}"}
        if expected.offset is not None:
            headers["Range"] = (
                f"bytes={expected.offset}-{expected.offset + expected.size_bytes - 1}"
            )
        url = URL.build(
            scheme=place.scheme,
            host=place.address,
            port=place.port,
            path=place.folder + expected.file,
        )
        tls = _tls() if place.scheme == "https" else True
        return self._session.get(
            url,
            headers=headers,
            allow_redirects=False,
            ssl=tls,
            server_hostname=place.host if place.scheme == "https" else None,
        )


@functools.cache
def _tls() -> ssl.SSLContext:
    """Loading the machine's authorities takes tens of milliseconds: once a process."""
    return ssl.create_default_context()


def _check_status(response: aiohttp.ClientResponse, expected: Expected, where: str) -> None:
    wanted = 200 if expected.offset is None else 206
    if response.status != wanted:
        raise FetchFault(FaultKind.STATUS, f"{where}: status {response.status}, expected {wanted}")
    length = response.content_length
    if length is not None and length > expected.size_bytes:
        raise FetchFault(
            FaultKind.OVERLONG, f"{where}: {length} bytes, expected {expected.size_bytes}"
        )


async def _read(response: aiohttp.ClientResponse, expected: Expected, where: str) -> bytes:
    body = bytearray()
    async for chunk in response.content.iter_chunked(_CHUNK_BYTES):
        body += chunk
        if len(body) > expected.size_bytes:
            raise FetchFault(
                FaultKind.OVERLONG, f"{where}: more than the expected {expected.size_bytes} bytes"
            )
    if len(body) < expected.size_bytes:
        raise FetchFault(
            FaultKind.TRUNCATED, f"{where}: {len(body)} bytes, expected {expected.size_bytes}"
        )
    return bytes(body)
