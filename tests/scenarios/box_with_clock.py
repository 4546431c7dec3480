"""`sluice-appliance run` with a wall clock that a test sets: so many seconds ahead as a file says.

python -m scenarios.box_with_clock CONFIG FILE
"""

import os
import random
import sys
from contextlib import suppress
from pathlib import Path
from time import time

from sluice_appliance.config import ApplianceConfig
from sluice_appliance.supervisor import own_box
from sluice_runtime import config, logs


def main() -> None:
    with suppress(PermissionError):
        # Fill stands aside where workers come late to their clocks; not for the load of a test machine.
        os.nice(-19)
    configuration, ahead = map(Path, sys.argv[1:])
    logs.configure("sluice-appliance")
    own_box(
        config.load(configuration, ApplianceConfig),
        random.Random(),
        wall_clock=lambda: time() + float(ahead.read_text()),
    )


if __name__ == "__main__":
    main()
