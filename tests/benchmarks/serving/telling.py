"""What every benchmark here is asked and says: whom, how often, how far it is, what it found."""

import argparse
import json
import signal
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from benchmarks.serving.clients.load import LoadFailed
from benchmarks.serving.content import WrongAnswer
from benchmarks.serving.peers.roster import ROSTER, Missing
from benchmarks.serving.peers.running import NotStarted


def run(measure: Callable[[], None]) -> int:
    """The program's exit code: 1 with one line on what went wrong, servers ended in any case."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    try:
        measure()
    except (Missing, NotStarted, WrongAnswer, LoadFailed) as error:
        sys.stderr.write(f"{Path(sys.argv[0]).name}: {error}\n")
        return 1
    return 0


def parser(about: str | None, example: str, *, seconds: int) -> argparse.ArgumentParser:
    """With the options that all have: --peers, --rounds, --seconds, --quick, --json."""
    made = argparse.ArgumentParser(
        description=about,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=f"example: {Path(sys.argv[0]).name} {example}",
    )
    add = made.add_argument
    everybody = ", ".join(ROSTER)
    add("--peers", type=_peers, default=list(ROSTER), help=f"comma-separated: {everybody} (all)")
    add("--rounds", type=int, default=5, help="runs of each (default: 5)")
    add("--seconds", type=int, default=seconds, help=f"length of a run (default: {seconds})")
    add("--quick", action="store_true", help="a small form of it: shows that it works")
    add("--json", type=Path, metavar="FILE", help="write the figures there too")
    return made


def _peers(text: str) -> list[str]:
    unknown = [name for name in text.split(",") if name not in ROSTER]
    if unknown:
        raise argparse.ArgumentTypeError(f"{unknown}, expected some of {','.join(ROSTER)}")
    return text.split(",")


def progress(what: str) -> None:
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\033[K{what}")
        sys.stderr.flush()


def write_json(path: Path | None, found: Mapping[str, object]) -> None:
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(found, indent=2) + "\n")
