"""The web page: the files that `npm run build` made, read once, so that a request opens no file."""

import gzip
import hashlib
import mimetypes
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web
from aiohttp.typedefs import Handler

# The built page is about a megabyte in five files.
FILES_MAX = 100
BYTES_MAX = 32 * 1024 * 1024
# Below this a response fits one packet either way.
_GZIP_MIN_BYTES = 1_400
_COMPRESSIBLE = ("text/", "application/javascript", "application/json", "image/svg+xml")
# Vite puts a hash of the content into these names, so they never change.
_HASHED_FOLDER = "assets/"
_FOREVER = "public, max-age=31536000, immutable"

NOT_BUILT = (
    "The web page is not built here. Build it with: cd control_services/web && npm ci && npm run"
    " build. The API is at /v1/openapi.json.\n"
)


class PageTooLarge(Exception):
    """The folder is not a built page."""


@dataclass(frozen=True, slots=True)
class PageFile:
    """One file as it is sent."""

    body: bytes
    gzipped: bytes | None
    content_type: str
    etag: str
    cache_control: str


def read_page(folder: Path) -> Mapping[str, PageFile]:
    """Every file by its path in the URL, `index.html` also as the empty path; empty where there is
    no page. Raises PageTooLarge, OSError."""
    if not (folder / "index.html").is_file():
        return {}
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    if len(paths) > FILES_MAX or sum(path.stat().st_size for path in paths) > BYTES_MAX:
        raise PageTooLarge(f"{folder} holds more than {FILES_MAX} files or {BYTES_MAX} bytes")
    files = {str(path.relative_to(folder)): path for path in paths}
    page = {name: _file(name, path.read_bytes()) for name, path in files.items()}
    return {**page, "": page["index.html"]}


def _file(name: str, body: bytes) -> PageFile:
    content_type = mimetypes.guess_type(name)[0] or "application/octet-stream"
    content_type = {"text/javascript": "application/javascript"}.get(content_type, content_type)
    worth_it = len(body) >= _GZIP_MIN_BYTES and content_type.startswith(_COMPRESSIBLE)
    return PageFile(
        body=body,
        gzipped=gzip.compress(body, mtime=0) if worth_it else None,
        content_type=content_type,
        etag=hashlib.sha256(body).hexdigest()[:16],
        cache_control=_FOREVER if name.startswith(_HASHED_FOLDER) else "no-cache",
    )


def page_handler(page: Mapping[str, PageFile]) -> Handler:
    async def serve(request: web.Request) -> web.Response:
        if not page and request.match_info["file"] == "":
            return web.Response(status=404, text=NOT_BUILT)
        found = page.get(request.match_info["file"])
        if found is None:
            raise web.HTTPNotFound
        return _response(request, found)

    return serve


def _response(request: web.Request, found: PageFile) -> web.Response:
    zipped = found.gzipped is not None and "gzip" in request.headers.get("Accept-Encoding", "")
    headers = {"Cache-Control": found.cache_control, "Vary": "Accept-Encoding"}
    # A tag names bytes, and the two encodings are different bytes.
    etag = f'"{found.etag}{"-gz" if zipped else ""}"'
    headers["ETag"] = etag
    if etag in request.headers.get("If-None-Match", ""):
        return web.Response(status=304, headers=headers)
    headers["Content-Type"] = found.content_type
    if found.content_type.startswith("text/"):
        headers["Content-Type"] += "; charset=utf-8"
    if zipped:
        headers["Content-Encoding"] = "gzip"
    return web.Response(body=found.gzipped if zipped else found.body, headers=headers)
