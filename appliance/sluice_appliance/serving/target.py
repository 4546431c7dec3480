"""Which object a request target names, and whether a host is one (RFC 9112, 3.2; RFC 3986)."""

import re

from sluice_appliance.object_key import InvalidObjectKey, ObjectKey, parse_key
from sluice_appliance.serving.answers import Response, absent, preflight, refuse

# uri-host [ ":" port ]. A comma, which a reg-name could have, is no host here: several Host fields
# are read joined by commas.
_HOST_PATTERN = rb"(?:\[[0-9A-Fa-f.]*:[0-9A-Fa-f:.]*\]|(?:[A-Za-z0-9._~!$&'()*+;=-]|%%[0-9A-Fa-f]{2})%b)(?::[0-9]*)?"
_HOST = re.compile(_HOST_PATTERN % b"*" + rb"[ \t]*")
# RFC 9110, 4.2.1: a URI "with an empty host identifier" is rejected. Nor has it userinfo (4.2.4).
_ABSOLUTE = re.compile(rb"(?i:https?)://(" + _HOST_PATTERN % b"+" + rb")(?=[/?]|$)")
_ESCAPE = re.compile(rb"%([0-9A-Fa-f]{2})")
# RFC 3986 pchar and "/", and "%" where an escape begins.
_PATH = re.compile(rb"/(?:[A-Za-z0-9._~!$&'()*+,;=:@/-]|%[0-9A-Fa-f]{2})*")
_CONTROL = re.compile(rb"[\x00-\x1f\x7f]")


def is_host(text: bytes) -> bool:
    """Whether it is the value of a Host field, white space behind it left aside. It may be empty
    (RFC 9112, 3.2)."""
    return _HOST.fullmatch(text) is not None


def host_of(target: bytes, host: bytes) -> bytes:
    """The host that is asked. RFC 9112, 3.2.2: with a target in absolute form, "the origin server
    MUST ignore the received Host header field"."""
    absolute = None if target.startswith(b"/") else _ABSOLUTE.match(target)
    return absolute[1] if absolute else host


def read_target(target: bytes) -> ObjectKey | Response:
    """The object that a request target names, the query left aside; or a refusal: 400 for what is no
    target, 404 for one that can name no object."""
    absolute = _ABSOLUTE.match(target)
    path, _, _ = (target[absolute.end() :] if absolute else target).partition(b"?")
    path = path or b"/"
    if not _PATH.fullmatch(path):
        return refuse(400, "the request target is malformed", close=True)
    path = _ESCAPE.sub(lambda escape: bytes((int(escape[1], 16),)), path)
    if _CONTROL.search(path):
        return refuse(400, "the request target has a control character", close=True)
    parts = path[1:].split(b"/")
    if b"." in parts or b".." in parts:
        return refuse(400, "the request target steps out of its path", close=True)
    try:
        return parse_key(path[1:].decode("latin-1"))
    except InvalidObjectKey:
        return absent()


def answer_options(target: bytes) -> Response:
    """To OPTIONS: what may be asked, of the server (`*`) or of any target that is one, held or not."""
    if target != b"*":
        found = read_target(target)
        if isinstance(found, Response) and found.status == 400:
            return found
    return preflight()
