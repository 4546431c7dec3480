"""What a worker counts of requests for hot objects: plain numbers, added to the shared cells four times a
second. An addition to shared memory costs 0.1 us, and such a request would pay ten of them.

What was not added yet when a worker is killed is lost: a quarter of a second of counts.
"""

from bisect import bisect_left

from sluice_appliance.serving import tally
from sluice_appliance.serving.objects import OpenObject

# The time to first byte is taken of one hot request in so many, and counts for all of them.
TIMED_EVERY = 16


class HotTally:
    """Of one worker."""

    __slots__ = ("_row", "_touched", "requests", "sent_bytes", "until_timed")

    def __init__(self, row: "memoryview[int]") -> None:
        self._row = row
        self._touched: dict[OpenObject, None] = {}
        self.requests = 0
        self.sent_bytes = 0
        self.until_timed = TIMED_EVERY

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
