"""What a request pays for telling: popularity, time to first byte, and a record that is not made, or is.

The figures in the headers of `popularity.py`, `sampling.py`, `records.py` and `cmcd.py` come from here. It
counts the thread's own CPU time and takes the least of many runs, so that a busy machine blurs it little.
"""

import sys
import time
from bisect import bisect_left
from collections.abc import Callable

from sluice_appliance.serving import tally
from sluice_appliance.serving.popularity import Popularity
from sluice_appliance.serving.records import Exchange
from sluice_appliance.serving.sampling import Sampler
from sluice_appliance.serving.telling import Teller, Telling

_BATCH = 2000
_BATCHES = 10
_TOLD = (
    b"?CMCD=bl%3D21300%2Cbr%3D3200%2Cbs%2Ccid%3D%22faec-5411%22%2Cd%3D4004%2Cdl%3D18500"
    b"%2Cmtp%3D48100%2Cot%3Dv%2Crtp%3D12000%2Csid%3D%226e2fb550%22"
)


class Nowhere:
    def put(self, line: bytes) -> None: ...


def main() -> None:
    row = memoryview(bytearray(tally.CELLS * 8)).cast("Q")
    silent = Sampler(1)
    for line, told in (
        ("popularity: hits and bytes of the object", _popularity),
        ("time to first byte: a bucket and the sum", lambda: _first_byte(row)),
        ("record: not made, it is not its turn", lambda: _not_recorded(silent)),
        ("record: made and encoded", lambda: _recorded(row, b"")),
        ("record: made with ten pairs of CMCD", lambda: _recorded(row, _TOLD)),
    ):
        bare_s = min(_timed(_nothing()) for _ in range(_BATCHES))
        least_s = min(_timed(told()) for _ in range(_BATCHES)) - bare_s
        sys.stdout.write(f"{least_s / _BATCH * 1e6:6.2f} us  {line}\n")


def _timed(batch: Callable[[], None]) -> float:
    began_s = time.thread_time()
    batch()
    return time.thread_time() - began_s


def _nothing() -> Callable[[], None]:
    def batch() -> None:
        for _ in range(_BATCH):
            pass

    return batch


def _popularity() -> Callable[[], None]:
    table = Popularity(1).claim()
    slot = table.take("bench/v1/a.mp4")

    def batch() -> None:
        for _ in range(_BATCH):
            table.hits[slot] += 1
            table.sent_bytes[slot] += 65536

    return batch


def _first_byte(row: "memoryview[int]") -> Callable[[], None]:
    def batch() -> None:
        for us in range(_BATCH):
            row[tally.TTFB_FIRST + bisect_left(tally.TTFB_BOUNDS_US, us)] += 1
            row[tally.TTFB_SUM_US] += us

    return batch


def _not_recorded(sampler: Sampler) -> Callable[[], None]:
    # Far from its turn.
    sampler.countdown = 2 * _BATCH

    def batch() -> None:
        for _ in range(_BATCH):
            sampler.countdown -= 1
            if not sampler.countdown:
                raise AssertionError("it was its turn")

    return batch


def _recorded(row: "memoryview[int]", query: bytes) -> Callable[[], None]:
    teller = Teller(Telling(), Nowhere(), row, worker=0, wall_clock=lambda: 1.7e9)
    target, fields = b"/bench/v1/a.mp4" + query, {b"range": b"bytes=0-65535"}

    def batch() -> None:
        for ordinal in range(_BATCH):
            exchange = Exchange(
                "192.0.2.7", ordinal, b"GET", target, fields, 206, 65536, 10**7, "hit", 80, 900
            )
            teller.tell(teller.requests, exchange)

    return batch


if __name__ == "__main__":
    main()
