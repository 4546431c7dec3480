"""What a worker and its pool say to each other."""

import signal
import struct

# What a worker writes to its pool's pipe when it accepts: its process id.
READY = struct.Struct("<q")
# What tells a worker that another has taken its place: it accepts nobody any more and ends in its own
# time. SIGTERM and SIGINT tell it to end now.
RETIRE = signal.SIGQUIT
