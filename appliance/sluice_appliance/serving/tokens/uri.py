"""Where a token stands in a request's URI, and what the URI is without it.

A token is a parameter of the query (`/film/v1/a.mp4?CAT=TOKEN`) or of a path segment
(`/;CAT=TOKEN/film/v1/main.m3u8`). The second is for players: what a manifest names relatively keeps the
folder it stands in, and so the token, but never the query.
"""

import re
from typing import NamedTuple
from urllib.parse import unquote_to_bytes

from sluice_appliance.serving.tokens.claims import Asked

# The names by default of CTA-5007-A and of RFC 9246.
CAT_PARAMETER = b"CAT"
JWT_PARAMETER = b"URISigningPackage"

_TOKEN = re.compile(
    rb"[?&;](" + CAT_PARAMETER + rb"|" + JWT_PARAMETER + rb")=([A-Za-z0-9_.-]*)([!$&'()*+,;=]?)"
)
_ABSOLUTE = re.compile(rb"(?i)(https?)://([^/?#]*)")
_PORT = re.compile(rb":([0-9]*)\Z")
_DEFAULT_PORTS = {b"http": b"80", b"https": b"443"}
_ESCAPE = re.compile(rb"%([0-9A-Fa-f]{2})")
_UNRESERVED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")


class Found(NamedTuple):
    """A token, by its parameter's name, and the target without it."""

    name: bytes
    token: bytes
    bare: bytes


def find_token(target: bytes) -> Found | None:
    """The first token of a request target.

    What goes with it is what RFC 9246, 2.1.15 takes out before the URI is compared: the delimiter after
    the token where that is a sub-delimiter, otherwise the one before the parameter.
    """
    found = _TOKEN.search(target)
    if found is None:
        return None
    name, token, delimiter = found.groups()
    start, end = found.start() + (1 if delimiter else 0), found.end()
    if target[start - 1 : start] == target[end : end + 1] == b"/":
        # A segment that was nothing but the token goes with it.
        end += 1
    return Found(name, token, target[:start] + target[end:])


def split_absolute(target: bytes, host: bytes) -> tuple[bytes, bytes]:
    """The path and query of a target, and its authority.

    RFC 9112, 3.2.2: the authority of an absolute-form target counts, and Host does not.
    """
    absolute = _ABSOLUTE.match(target)
    if absolute is None:
        return target, host
    return target[absolute.end() :] or b"/", absolute[2]


def read_uri(scheme: bytes, authority: bytes, bare: bytes) -> Asked:
    """The URI of a request in its parts, the authority in lower case (RFC 3986, 6.2.2 and 6.2.3)."""
    authority = authority.lower()
    port = _PORT.search(authority)
    host = authority[: port.start()] if port else authority
    number = (port[1] if port else b"") or _DEFAULT_PORTS[scheme]
    path, mark, query = bare.partition(b"?")
    named = host if number == _DEFAULT_PORTS[scheme] else host + b":" + number
    uri = scheme + b"://" + named + _ESCAPE.sub(_normal_escape, path + mark + query)
    return Asked(scheme, host, number, unquote_to_bytes(path), query, uri)


def _normal_escape(escape: "re.Match[bytes]") -> bytes:
    value = int(escape[1], 16)
    return bytes((value,)) if value in _UNRESERVED else escape[0].upper()
