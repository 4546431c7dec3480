"""What a serving worker counts: the cells of its row, in the order of `sluice_appliance.metrics.SERVING`.

Plain numbers in a module that imports nothing of ours, so that a worker starts fast and counts with
`row[REQUESTS] += 1`, an array store in memory that the supervisor sums when it is asked.
"""

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

TTFB_FIRST = 27  # the first of its buckets, see TTFB_BOUNDS_US
TTFB_SUM_US = 43
SEND_STALLS = 44
SHED_DISK_BUSY = 45
SHED_READ_AHEAD_FULL = 46
RESPONSES_FROM_MEMORY = 47
RESPONSES_FROM_DISK = 48
BYTES_FROM_MEMORY = 49
BYTES_FROM_DISK = 50
READ_AHEADS = 51
READ_AHEAD_BYTES = 52
READ_AHEADS_REFUSED = 53
READ_AHEADS_FAILED = 54
MEMO_HITS = 55
RECORDS_WRITTEN = 56
RECORDS_FAILED = 57
RECORDS_DROPPED = 58
RECORDS_SAMPLED_OUT = 59
CMCD_PAIRS_DROPPED = 60
REFUSED_CLIENT_CONNECTIONS = 61
TIMEOUT_PACE = 62
WORKER_REPLACEMENTS = 63
WORKER_REPLACEMENTS_FAILED = 64
TOKEN_HITS = 65
TOKEN_MISSES = 66
TOKEN_EVICTIONS = 67
TOKEN_REFUSED_FIRST = 68  # one for each `tokens.claims.Reason`, in its order
POPULARITY_LOST = 79
REFUSED_RANGE = 80
REFUSED_LOOP = 81

CELLS = 82

# Upper bounds of the buckets of time to first byte: what is in memory takes tens of microseconds, a
# read of flash some hundred, one of a spinning disk some thousand. One more bucket holds the slower.
# A worker observes with
# `row[TTFB_FIRST + bisect_left(TTFB_BOUNDS_US, us)] += 1; row[TTFB_SUM_US] += us`.
TTFB_BOUNDS_US = (
    *(50, 100, 250, 500),
    *(1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000),
    *(1_000_000, 5_000_000),
)

# The cell of a status is RESPONSES[status // 100].
RESPONSES = (-1, -1, RESPONSES_2XX, RESPONSES_3XX, RESPONSES_4XX, RESPONSES_5XX)

# The cell of a refusal by its status; what is not here is told by its class alone.
REFUSED = {
    400: REFUSED_MALFORMED,
    413: REFUSED_BODY_TOO_LARGE,
    414: REFUSED_TARGET_TOO_LONG,
    416: REFUSED_RANGE,
    431: REFUSED_HEAD_TOO_LARGE,
    508: REFUSED_LOOP,
}
