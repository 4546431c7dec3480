"""Reads what a player tells of itself with a request: Common Media Client Data (CTA-5004, CTA-5004-B).

It comes in the query (`?CMCD=br%3D3200%2Cbs%2Csid%3D%22ab%22`) or in four fields. Only what is known is
taken over, with the type that its key has; keys of a vendor (`com.example-x`) are kept as text. A pair
that cannot be read costs that pair alone, and is counted: players are many and err. It is decoded only
for requests that are recorded: some 40 us for ten pairs.
"""

import re
from collections.abc import Callable, Mapping
from typing import NamedTuple
from urllib.parse import unquote, unquote_to_bytes

from sluice_appliance.serving.shown import show_path

# A request target ends at 8,000 bytes; what players send is some hundred.
CMCD_BYTES_MAX = 4096
PAIRS_MAX = 64
# CTA-5004-B allows 128 characters where it says a limit; the next object's path (`nor`) says none.
TEXT_CHARS_MAX = 512

FIELDS = (b"cmcd-request", b"cmcd-object", b"cmcd-session", b"cmcd-status")
_IN_QUERY = b"CMCD="

Value = bool | int | float | str | list[str] | dict[str, int | float]


class Cmcd(NamedTuple):
    """What was told, by key, and how many pairs were dropped because they could not be read."""

    told: dict[str, Value]
    dropped: int


def decode(target: bytes, fields: Mapping[bytes, bytes]) -> Cmcd | None:
    """What a request tells, in its query or in its fields (by lower-case name); None: nothing."""
    return decode_query(target) or decode_headers(fields)


def decode_query(target: bytes) -> Cmcd | None:
    """What the query of a request target tells. Most requests pay the first line alone."""
    if _IN_QUERY not in target:
        return None
    for argument in target.partition(b"?")[2].split(b"&"):
        if argument.startswith(_IN_QUERY):
            told = unquote_to_bytes(argument.removeprefix(_IN_QUERY))
            return _decode(told.decode("latin-1"))
    return None


def decode_headers(fields: Mapping[bytes, bytes]) -> Cmcd | None:
    """What the four fields tell. A key counts in whichever of them it stands."""
    present = [fields[name] for name in FIELDS if name in fields]
    return _decode(b",".join(present).decode("latin-1")) if present else None


# A string of RFC 8941, 3.3.3.
_STRING = r'"(?:[\x20\x21\x23-\x5b\x5d-\x7e]|\\["\\])*"'
_PAIR = re.compile(
    r"[ \t]*(?P<key>[A-Za-z*][A-Za-z0-9_.*-]{0,63})"
    rf'(?:=(?P<value>{_STRING}|\((?:{_STRING}|[^"()])*\)|[^",;() \t]+))?'
    # Parameters of the whole pair mean nothing here. No two parts match the same character, or a
    # hostile player's blanks would take quadratic time.
    r'(?:;[^",]*|[ \t]*)(?:,|\Z)'
)
# What is passed over where no pair is: all until a comma outside of a string.
_JUNK = re.compile(rf"(?:{_STRING}|[^,])*,?", re.DOTALL)
_NUMBER = re.compile(r"-?[0-9]{1,15}(?:\.[0-9]{1,6})?")
_ITEM = re.compile(rf" *(?P<bare>{_STRING}|[^\" ;]+)(?P<parameters>(?:;[^\" ;]+(?:{_STRING})?)*)")
_TYPE = re.compile(r";([a-z]{1,2})(?:=\?1)?(?:;|$)")


def _decode(text: str) -> Cmcd:
    told: dict[str, Value] = {}
    dropped = 0
    if len(text) > CMCD_BYTES_MAX:
        # Cut before the pair that the bound would cut in two.
        text, dropped = text[:CMCD_BYTES_MAX].rpartition(",")[0], 1
    place = pairs = 0
    while place < len(text):
        if pairs == PAIRS_MAX:
            return Cmcd(told, dropped + 1)
        pairs += 1
        pair = _PAIR.match(text, place)
        if pair is None:
            dropped += 1
            junk = _JUNK.match(text, place)
            assert junk is not None, "what matches nothing matches everything"
            place = junk.end()
            continue
        place = pair.end()
        value = _read(pair["key"], pair["value"])
        if value is None:
            dropped += 1
        else:
            told[pair["key"]] = value
    return Cmcd(told, dropped)


def _read(key: str, value: str | None) -> Value | None:
    """The value with the type of its key, or None for what that key cannot have."""
    # "Custom key names MUST carry a hyphenated prefix."
    reader = _READERS.get(key, _custom if "-" in key else None)
    if reader is None:
        return None
    if value is None:
        # "If the value is TRUE, the = and the value are omitted": `bs`.
        return True if reader in (_boolean, _custom) else None
    return reader(value)


def _boolean(value: str) -> bool | None:
    return {"?1": True, "true": True, "?0": False, "false": False}.get(value)


def _number(value: str) -> int | float | None:
    if not _NUMBER.fullmatch(value):
        return None
    return float(value) if "." in value else int(value)


def _integer(value: str) -> int | None:
    number = _number(value)
    return None if number is None else round(number)


def _text(value: str) -> str | None:
    """A string, or a token; players mix the two up, and mean the same."""
    if value.startswith('"'):
        value = re.sub(r"\\(.)", r"\1", value[1:-1])
    elif value.startswith(("(", "?")):
        return None
    return value if value.isprintable() and len(value) <= TEXT_CHARS_MAX else None


def _custom(value: str) -> str | None:
    """As it was sent, without the quotes."""
    return _text(value) or (value if len(value) <= TEXT_CHARS_MAX and value.isprintable() else None)


def _by_type(value: str) -> int | dict[str, int | float] | None:
    """`5000`, or since CTA-5004-B `(5000;v 320;a)`: numbers by type of object, `any` where none."""
    if not value.startswith("("):
        return _integer(value)
    numbers: dict[str, int | float] = {}
    for item in _ITEM.finditer(value[1:-1]):
        number = _number(item["bare"])
        if number is None:
            return None
        named = _TYPE.match(item["parameters"])
        numbers[named[1] if named else "any"] = number
    return numbers or None


def _texts(value: str) -> list[str] | str | None:
    """`"a"`, or since CTA-5004-B `("a" "b")`."""
    if not value.startswith("("):
        return _text(value)
    texts = [_text(item["bare"]) for item in _ITEM.finditer(value[1:-1])]
    readable = [text for text in texts if text is not None]
    return readable if readable and len(readable) == len(texts) else None


def _paths(value: str) -> list[str] | str | None:
    """Paths, each percent-encoded once more within its string; what may hold a token is left out."""
    read = _texts(value)
    if isinstance(read, list):
        return [show_path(unquote(path)) for path in read]
    return None if read is None else show_path(unquote(read))


def _readers() -> dict[str, Callable[[str], Value | None]]:
    """How each key is read. Of CTA-5004-B, those that stand only in events are not sent to a box."""
    by_reader: dict[Callable[[str], Value | None], str] = {
        _integer: "d dfa dl ltc msd pt rtp sn ts v",
        _number: "pr",
        _boolean: "bg bs nr su",
        _by_type: "ab bl br bsa bsd bsda lab lb mtp pb tab tb tbl tpb",
        _text: "cdn cid cs e nrr ot sf sid st sta",
        _texts: "ec",
        _paths: "nor",
    }
    return {key: reader for reader, keys in by_reader.items() for key in keys.split()}


_READERS = _readers()
