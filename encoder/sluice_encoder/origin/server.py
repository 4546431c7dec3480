"""Serves published objects by key: GET and HEAD, single byte ranges, validators; never a listing.

Objects never change once they are named, so answers may be kept for ever. Names that begin with a
dot are unfinished and are not there. aiohttp sends files with sendfile; this is the place that boxes
fill from, not the place that viewers play from.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter

from sluice_encoder.keys import object_key
from sluice_encoder.metrics import OriginMetrics
from sluice_encoder.register import content_type

# Each request under way holds a descriptor and a thread's turn.
REQUESTS_UNDER_WAY_MAX = 256
_HEADERS = {
    "Cache-Control": "public, max-age=31536000, immutable",
    "X-Content-Type-Options": "nosniff",
    "Access-Control-Allow-Origin": "*",
}


class Origin:
    """Answers for one folder."""

    def __init__(self, root: Path, metrics: OriginMetrics, *, requests_max: int) -> None:
        self._root = root.resolve()
        self._metrics = metrics
        self._requests_max = requests_max
        self._under_way = 0

    async def answer(self, request: web.Request) -> web.StreamResponse:
        if request.method not in ("GET", "HEAD"):
            return self._counted(web.Response(status=405, headers={"Allow": "GET, HEAD"}))
        path = await asyncio.to_thread(_published, self._root, request.rel_url.raw_path)
        if path is None:
            return self._counted(web.Response(status=404, text="no such object\n"))
        if self._under_way >= self._requests_max:
            self._metrics.refused.inc()
            return self._counted(web.Response(status=503, headers={"Retry-After": "1"}))
        return _ObjectResponse(path, self)

    @asynccontextmanager
    async def sending(self, response: web.FileResponse, method: str) -> AsyncIterator[None]:
        """Holds a place while a file is sent, and counts how that went."""
        self._under_way += 1
        try:
            yield
        except ConnectionError:
            self._metrics.broken_off.inc()
            raise
        finally:
            self._under_way -= 1
        if method == "GET":
            self._metrics.sent_bytes.inc(response.content_length or 0)
        self._counted(response)

    def _counted(self, response: web.StreamResponse) -> web.StreamResponse:
        self._metrics.requests.labels(status=str(response.status)).inc()
        return response


class _ObjectResponse(web.FileResponse):
    """aiohttp sends the whole file in `prepare`."""

    def __init__(self, path: Path, origin: Origin) -> None:
        super().__init__(path, headers={**_HEADERS, "Content-Type": content_type(path.name)})
        self._origin = origin

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        async with self._origin.sending(self, request.method):
            return await super().prepare(request)


@asynccontextmanager
async def serve(
    root: Path,
    host: str,
    port: int,
    metrics: OriginMetrics,
    *,
    requests_max: int = REQUESTS_UNDER_WAY_MAX,
) -> AsyncIterator[tuple[str, int]]:
    """Serves while the block runs and gives the address. Raises OSError where it is taken."""
    app = web.Application()
    app.router.add_route("*", "/{key:.*}", Origin(root, metrics, requests_max=requests_max).answer)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=2.0)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port, reuse_address=True).start()
        bound = runner.addresses[0]
        yield str(bound[0]), int(bound[1])
    finally:
        await runner.cleanup()


def _published(root: Path, raw_path: str) -> Path | None:
    """The file of a request's path: exactly a key, inside the root whatever links say."""
    try:
        key = object_key(raw_path.removeprefix("/"))
    except ValueError:
        return None
    if any(part.startswith(".") for part in key.split("/")):
        return None
    path = (root / key).resolve()
    return path if path.is_relative_to(root) and path.is_file() else None
