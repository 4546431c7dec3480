"""Answers to requests that come again and again, and what a worker counts of them.

Players of one make that ask for the same piece send the same bytes. So an answer that needs nothing but
memory is kept by the very bytes of its request for a moment, and a request that finds it pays one
look-up. It is counted in plain numbers, added to the shared cells four times a second: an addition to
shared memory costs 0.1 us, and such a request would pay ten of them. What was not added yet when a
worker is killed is lost: a quarter of a second of counts.
"""

from bisect import bisect_left
from collections.abc import Mapping
from typing import NamedTuple

from sluice_appliance.serving import tally
from sluice_appliance.serving.answers import Response
from sluice_appliance.serving.objects import OpenObject

# Bodies to here are sent in one go; of a longer one a client seldom takes all at once.
HOT_BYTES_MAX = 1024 * 1024
# How long an answer is kept: as long as the worker's clock stands still. Then all that it stands on is
# looked at again: the token, the file, the pages.
HOT_S = 0.25
ANSWERS_MAX = 1024
# Bodies to here are copied once and kept with their answer: a copy less for each request.
KEPT_BYTES_MAX = 8 * 1024
# The time to first byte is taken of one hot request in so many, and counts for all of them.
TIMED_EVERY = 16


class HotAnswer(NamedTuple):
    """All that a request came to that is sent from memory. It holds while `found` is open."""

    until: float
    found: OpenObject
    response: Response
    head: bytes
    # Head and body, where the body is small.
    whole: bytes
    # What was asked.
    target: bytes
    fields: Mapping[bytes, bytes]
    # The connection ends with it.
    last: bool


class Hot:
    """Of one worker. `answers` are looked up by the bytes of a request."""

    __slots__ = ("_row", "_touched", "answers", "requests", "sent_bytes", "until_timed")

    def __init__(self, row: "memoryview[int]") -> None:
        self._row = row
        self._touched: dict[OpenObject, None] = {}
        self.answers: dict[bytes, HotAnswer] = {}
        self.requests = 0
        self.sent_bytes = 0
        self.until_timed = TIMED_EVERY

    def keep(self, data: bytes, answer: HotAnswer) -> None:
        """Until all are forgotten, the next time that there are too many."""
        if len(self.answers) >= ANSWERS_MAX:
            self.answers.clear()
        self.answers[data] = answer

    def count(self, found: OpenObject, sent_bytes: int) -> None:
        """A request for `found` was answered with so much of it."""
        if not found.hits:
            self._touched[found] = None
        found.hits += 1
        found.sent_bytes += sent_bytes
        self.requests += 1
        self.sent_bytes += sent_bytes
        self.until_timed -= 1

    def time(self, ttfb_us: int) -> None:
        self.until_timed = TIMED_EVERY
        self._row[tally.TTFB_FIRST + bisect_left(tally.TTFB_BOUNDS_US, ttfb_us)] += TIMED_EVERY
        self._row[tally.TTFB_SUM_US] += TIMED_EVERY * ttfb_us

    def flush(self) -> None:
        row = self._row
        for cell in (
            *(tally.REQUESTS, tally.RESPONSES_2XX),
            *(tally.MEMO_HITS, tally.RESPONSES_FROM_MEMORY),
        ):
            row[cell] += self.requests
        row[tally.BODY_BYTES] += self.sent_bytes
        row[tally.BYTES_FROM_MEMORY] += self.sent_bytes
        self.requests = self.sent_bytes = 0
        for found in self._touched:
            if found.users:
                found.add_hits(found.hits, found.sent_bytes)
                found.hits = found.sent_bytes = 0
        self._touched.clear()
