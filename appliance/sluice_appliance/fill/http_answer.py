"""What is asked of a source over HTTP, and what its answer is worth: decided from the head alone.

A redirect is refused: a source that could send a box elsewhere could send it to any address inside the
provider's network. An object is named by its bytes, so an entity tag that is another than the first
answer's says that the source has changed the object in the middle of the fetch (RFC 9110, 13.1.1).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from sluice_appliance.fill.sources import Chunk, FaultKind, SourceFailed

# Where a source says that it is busy and not for how long, or says it as a date.
RETRY_AFTER_S = 30.0
_CONTENT_RANGE = re.compile(r"bytes (?:(\d+)-(\d+)|\*)/(\d+|\*)")
_BUSY = (429, 503)


@dataclass(frozen=True, slots=True)
class Asked:
    """Bytes `start` up to before `end` of an object of `size_bytes`."""

    start: int
    end: int
    size_bytes: int
    # The tag of the first answer for this object; None on the first.
    etag: str | None = None

    @property
    def is_whole(self) -> bool:
        return self.start == 0 and self.end == self.size_bytes


@dataclass(frozen=True, slots=True)
class Answer:
    """What the body is."""

    # So many bytes of it come before the first that was asked for.
    skip_bytes: int
    # Whether it goes on behind the last byte that was asked for.
    goes_on: bool
    # All of the object came where a range was asked for: the source knows none.
    is_whole: bool
    # Strong ones only: others say nothing of bytes.
    etag: str | None


def headers_for(asked: Asked) -> Mapping[str, str]:
    headers = {}
    if not asked.is_whole:
        # Open where all of the rest is asked for: a source that has more says so.
        last = "" if asked.end == asked.size_bytes else asked.end - 1
        headers["Range"] = f"bytes={asked.start}-{last}"
    if asked.etag is not None:
        headers["If-Match"] = asked.etag
    return headers


def judge(status: int, headers: Mapping[str, str], asked: Asked) -> Answer:
    """`headers` are found whatever the case of their names. Raises SourceFailed."""
    if status == 412:
        raise SourceFailed(FaultKind.CHANGED, f"it is {asked.etag} no more")
    if status == 416:
        _check_size(_range_of(headers)[2], asked.size_bytes)
    if status not in (200, 206):
        raise SourceFailed(
            FaultKind.UNAVAILABLE, f"status {status}", retry_after_s=_retry_after_s(status, headers)
        )
    etag = _strong(headers.get("ETag"))
    if asked.etag is not None and etag is not None and etag != asked.etag:
        raise SourceFailed(FaultKind.CHANGED, f"it was {asked.etag} and is {etag}")
    if status == 200:
        _check_size(_length(headers), asked.size_bytes)
        return Answer(asked.start, asked.end < asked.size_bytes, not asked.is_whole, etag)
    first, last, size_bytes = _range_of(headers)
    _check_size(size_bytes, asked.size_bytes)
    if first is None or last is None or first > asked.start or last + 1 < asked.end:
        raise SourceFailed(
            FaultKind.WRONG_RANGE,
            f"asked for bytes {asked.start}-{asked.end - 1},"
            f" got Content-Range {headers.get('Content-Range', '')!r}",
        )
    return Answer(asked.start - first, last + 1 > asked.end, False, etag)


class Cut:
    """What of a body was asked for, as it comes."""

    def __init__(self, asked: Asked, answer: Answer) -> None:
        self._asked = asked
        self._goes_on = answer.goes_on
        # Where the next byte of the body stands in the object.
        self.at = asked.start - answer.skip_bytes

    @property
    def is_over(self) -> bool:
        """All that was asked for has come, and the rest is not wanted. Where there should be none, it is
        looked for: a source that sends more is wrong."""
        return self._goes_on and self.at >= self._asked.end

    def keep(self, data: Chunk) -> Chunk:
        """Raises SourceFailed."""
        asked, at = self._asked, self.at
        self.at = at + len(data)
        if self.at > asked.end and not self._goes_on:
            raise SourceFailed(FaultKind.OVERLONG, f"more than the bytes up to {asked.end}")
        if at >= asked.start and self.at <= asked.end:
            return data
        return data[max(0, asked.start - at) : max(0, asked.end - at)]


def _check_size(said: int | None, expected: int) -> None:
    if said is None or said == expected:
        return
    fault = FaultKind.OVERLONG if said > expected else FaultKind.TRUNCATED
    raise SourceFailed(fault, f"the source has {said} bytes of it, expected {expected}")


def _range_of(headers: Mapping[str, str]) -> tuple[int | None, int | None, int | None]:
    match = _CONTENT_RANGE.fullmatch(headers.get("Content-Range", ""))
    if match is None:
        return None, None, None
    first, last = (None, None) if match[1] is None else (int(match[1]), int(match[2]))
    return first, last, None if match[3] == "*" else int(match[3])


def _length(headers: Mapping[str, str]) -> int | None:
    said = headers.get("Content-Length", "")
    return int(said) if said.isascii() and said.isdigit() else None


def _strong(etag: str | None) -> str | None:
    return None if etag is None or etag.startswith("W/") else etag


def _retry_after_s(status: int, headers: Mapping[str, str]) -> float | None:
    if status not in _BUSY:
        return None
    said = headers.get("Retry-After", "").strip()
    # Nobody means more than ten digits of seconds.
    if said.isascii() and said.isdigit() and len(said) <= 10:
        return float(said)
    return RETRY_AFTER_S if said else None
