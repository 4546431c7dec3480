"""An HTTP source that is wrong in the way that the first part of its path says."""

import asyncio
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from aiohttp import web

FAULTS = {
    "wrong": "digest_mismatch",
    "short": "truncated",
    "cut": "truncated",
    "smaller": "truncated",
    "larger": "overlong",
    "endless": "overlong",
    "stall": "stalled",
    "silent": "stalled",
    "absent": "unavailable",
    "broken": "unavailable",
    "elsewhere": "unavailable",
    "shifted": "wrong_range",
    "busy": "unavailable",
}


class ScriptedSource:
    """Serves `bodies` at `/{way}/{key}`; `way` is `good`, `whole` (knows no ranges) or one of FAULTS."""

    def __init__(self, bodies: Mapping[str, bytes]) -> None:
        self.bodies = bodies
        # (way, key, first byte asked for) of every request.
        self.asked: list[tuple[str, str, int]] = []
        self.base_url = ""
        self.released = asyncio.Event()

    @asynccontextmanager
    async def serving(self) -> AsyncIterator["ScriptedSource"]:
        app = web.Application()
        app.add_routes([web.get("/{way}/{key:.+}", self._answer)])
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        try:
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            host, port = runner.addresses[0][:2]
            self.base_url = f"http://{host}:{port}/"
            yield self
        finally:
            self.released.set()
            await runner.cleanup()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        way, key = request.match_info["way"], request.match_info["key"]
        match = re.fullmatch(r"bytes=(\d+)-(\d*)", request.headers.get("Range", ""))
        first = int(match[1]) if match else 0
        self.asked.append((way, key, first))
        body = self.bodies[key]
        behind = int(match[2]) + 1 if match and match[2] else len(body)
        match way:
            case "absent":
                return web.Response(status=404)
            case "busy":
                return web.Response(status=503, headers={"Retry-After": "7"})
            case "swapped":
                # Another object each time that it is asked, and it says so.
                headers = {"ETag": f'"{len(self.asked)}"'}
                if match is None:
                    return web.Response(body=body, headers=headers)
                headers["Content-Range"] = f"bytes {first}-{behind - 1}/{len(body)}"
                return web.Response(status=206, body=body[first:behind], headers=headers)
            case "flipped":
                # The third MiB is wrong, the others are right.
                at = 2 << 20
                body = body[:at] + bytes([body[at] ^ 1]) + body[at + 1 :]
            case "broken":
                return web.Response(status=500, text="x" * len(body))
            case "elsewhere":
                raise web.HTTPFound(f"/good/{key}")
            case "silent":
                await self.released.wait()
                return web.Response()
            case "whole":
                return web.Response(body=body)
            case "endless":
                return await self._stream(request, [body, body], chunked=True)
            case "short":
                return await self._stream(request, [body[: len(body) // 2]], chunked=True)
            case "cut" | "stall":
                return await self._stream(
                    request, [body[first:][: len(body) // 3]], way=way, first=first
                )
            case "shifted":
                return web.Response(
                    status=206,
                    body=body[first + 1 :],
                    headers={"Content-Range": f"bytes {first + 1}-{len(body) - 1}/{len(body)}"},
                )
            case "wrong":
                body = body[:-1] + bytes([body[-1] ^ 1])
            case "larger":
                body += b"more"
            case "smaller":
                body = body[:-1]
        if match is None:
            return web.Response(body=body)
        behind = int(match[2]) + 1 if match[2] else len(body)
        return web.Response(
            status=206,
            body=body[first:behind],
            headers={"Content-Range": f"bytes {first}-{behind - 1}/{len(body)}"},
        )

    async def _stream(
        self,
        request: web.Request,
        pieces: list[bytes],
        *,
        chunked: bool = False,
        way: str = "",
        first: int = 0,
    ) -> web.StreamResponse:
        size = len(self.bodies[request.match_info["key"]])
        response = web.StreamResponse(status=206 if first else 200)
        if first:
            response.headers["Content-Range"] = f"bytes {first}-{size - 1}/{size}"
        if chunked:
            response.enable_chunked_encoding()
        else:
            response.content_length = size - first
        await response.prepare(request)
        for piece in pieces:
            await response.write(piece)
        is_cut = sum(map(len, pieces)) < size - first
        if way == "stall" and is_cut:
            await self.released.wait()
        if way and is_cut and request.transport is not None:
            request.transport.abort()
        return response
