"""What a worker writes to its pool's pipe when it accepts: its process id."""

import struct

READY = struct.Struct("<q")
