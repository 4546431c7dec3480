"""What a serving worker counts: the cells of its row, in the order of `sluice_appliance.metrics.SERVING`.

Plain numbers in a module that imports nothing of ours, so that a worker starts fast and counts with
`row[REQUESTS] += 1`, an array store in memory that the supervisor sums when it is asked.
"""

import mmap

CONNECTIONS = 0
CONNECTIONS_CLOSED = 1
REQUESTS = 2
RESPONSES_2XX = 3
RESPONSES_3XX = 4
RESPONSES_4XX = 5
RESPONSES_5XX = 6
BODY_BYTES = 7
ABSENT_OBJECTS = 8
BROKEN_OFF = 9
REFUSED_MALFORMED = 10
REFUSED_HEAD_TOO_LARGE = 11
REFUSED_TARGET_TOO_LONG = 12
REFUSED_BODY_TOO_LARGE = 13
REFUSED_CONNECTIONS = 14
REFUSED_STORAGE = 15
TIMEOUT_REQUEST = 16
TIMEOUT_HEAD = 17
TIMEOUT_WRITE = 18
TIMEOUT_HANDSHAKE = 19
TIMEOUT_CLOSE = 20
OPEN_FILES = 21
TLS_HANDSHAKES = 22
TLS_FAILURES = 23
KERNEL_TLS = 24
ACCEPT_FAILURES = 25
WORKER_RESTARTS = 26

CELLS = 27
_CELL_BYTES = 8

# The cell of a status is RESPONSES[status // 100].
RESPONSES = (-1, -1, RESPONSES_2XX, RESPONSES_3XX, RESPONSES_4XX, RESPONSES_5XX)


def open_row(descriptor: int, row: int, rows: int) -> "memoryview[int]":
    """One row of the SharedCounters behind `descriptor`, without the supervisor's imports."""
    size = max(mmap.PAGESIZE, CELLS * rows * _CELL_BYTES)
    return memoryview(mmap.mmap(descriptor, size)).cast("Q")[row * CELLS : (row + 1) * CELLS]
