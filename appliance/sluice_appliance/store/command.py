"""`sluice-appliance store`: looks into a store, checks it, and puts it in order."""

import argparse
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TextIO

import msgspec

from sluice_appliance.object_key import InvalidObjectKey, ObjectKey, parse_key
from sluice_appliance.store import quarantine
from sluice_appliance.store.checking import LOST, Finding, Scratch, Verdict, check
from sluice_appliance.store.disks import DiskPlace
from sluice_appliance.store.errors import StoreError
from sluice_appliance.store.member import take_lock
from sluice_appliance.store.membership import places, readmit
from sluice_appliance.store.store import Store
from sluice_appliance.store.walking import Seen, look, objects_of, paths_of

_LS = "sluice-appliance store ls --store /srv/sluice"
_STATS = "sluice-appliance store stats --store /srv/sluice --json"
_VERIFY = "sluice-appliance store verify --store /srv/sluice film/v1/a.mp4"
_REBUILD = "sluice-appliance store rebuild --store /srv/sluice"
_READMIT = "sluice-appliance store readmit --store /srv/sluice /srv/sluice/sda"
_PROGRESS_S = 1.0


def add_to(verbs: "argparse._SubParsersAction[Any]", *, clock: Callable[[], float]) -> None:
    """`clock`: how often progress is told."""
    store = verbs.add_parser(
        "store",
        help="look into a store, check it, put it in order",
        description="`ls`, `stats` and `verify` only read, beside whoever owns the store.",
        epilog=f"example: {_LS}",
    )
    store.set_defaults(clock=clock)
    words = store.add_subparsers(title="words", required=True, metavar="WORD")
    _add(words, "ls", _ls, _LS, "name every object: bytes, tier, layout version, key")
    _add(
        words,
        "stats",
        _stats,
        _STATS,
        "what each disk holds, and how much is damaged or on its way",
    )
    verify = _add(
        words, "verify", _verify, _VERIFY, "read every object and compare it with its digests"
    )
    verify.add_argument(
        "--whole",
        action="store_true",
        help="compare the SHA-256 too, which takes four times the CPU",
    )
    verify.add_argument("keys", nargs="*", type=_key, metavar="KEY", help="only these objects")
    _add(
        words,
        "rebuild",
        _rebuild,
        _REBUILD,
        "bring files to where they are looked for, put damaged ones into quarantine and write those of an"
        " old layout anew; nobody else may own the store",
    )
    readmitted = _add(
        words,
        "readmit",
        _readmit,
        _READMIT,
        "use a disk again that was left alone because it gave errors; nobody else may own the store",
    )
    readmitted.add_argument("disk", type=Path, metavar="DISK", help="where it is mounted")


def _add(
    words: "argparse._SubParsersAction[Any]",
    word: str,
    act: Callable[[argparse.Namespace], int],
    example: str,
    does: str,
) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = words.add_parser(
        word, help=does, description=does, epilog=f"example: {example}"
    )
    parser.add_argument("--store", type=Path, required=True, metavar="DIR", help="the store")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    parser.set_defaults(act=lambda arguments: _guarded(act, arguments))
    return parser


def _guarded(act: Callable[[argparse.Namespace], int], arguments: argparse.Namespace) -> int:
    """0 done and sound, 1 something is damaged or a disk fails, 2 the store is another's or is none."""
    try:
        if not arguments.store.is_dir():
            raise StoreError(f"{arguments.store} is no folder")
        return act(arguments)
    except StoreError as error:
        sys.stderr.write(f"sluice-appliance store: {error}\n")
        return 2
    except BrokenPipeError:
        sys.stderr.close()
        return 1
    except OSError as error:
        sys.stderr.write(f"sluice-appliance store: {error}\n")
        return 1


# --- ls and stats ---------------------------------------------------------------------------------


def _ls(arguments: argparse.Namespace) -> int:
    for disk in places(arguments.store.absolute(), failed=True):
        for path in objects_of(disk):
            sys.stdout.write(_listed(disk, look(path), as_json=arguments.json) + "\n")
    return 0


def _listed(disk: DiskPlace, seen: Seen, *, as_json: bool) -> str:
    header, tier = seen.header, disk.tier.value
    if not as_json:
        if header is None:
            return f"{'damaged':>15} {tier} {seen.version} {seen.path}: {seen.reason}"
        return f"{header.size_bytes:15} {tier} {seen.version} {header.key}"
    told: dict[str, object] = {"disk": disk.root, "tier": tier, "path": seen.path}
    if header is None:
        return _json(told | {"damaged": seen.reason})
    return _json(
        told
        | {
            "key": header.key,
            "size_bytes": header.size_bytes,
            "sha256": header.sha256.hex(),
            "content_type": header.content_type,
            "version": seen.version,
        }
    )


def _stats(arguments: argparse.Namespace) -> int:
    progress = _Progress(sys.stderr, arguments.clock)
    for disk in places(arguments.store.absolute(), failed=True):
        told = _stats_of(disk, progress)
        progress.end()
        if arguments.json:
            sys.stdout.write(_json(told) + "\n")
        else:
            sys.stdout.write("  ".join(f"{name} {value}" for name, value in told.items()) + "\n")
    return 0


def _stats_of(disk: DiskPlace, progress: "_Progress") -> dict[str, object]:
    counted: Counter[str] = Counter()
    for path in objects_of(disk):
        seen = look(path)
        if seen.header is None:
            counted["damaged"] += 1
        else:
            counted["objects"] += 1
            counted["bytes"] += seen.header.size_bytes
            counted["version 1"] += seen.version == 1
        progress.tell(counted["objects"], counted["bytes"])
    files, kept_bytes = quarantine.contents(disk.root)
    partial = Path(disk.root, "partial")
    return {
        "disk": disk.root,
        "tier": disk.tier.value,
        "objects": counted["objects"],
        "bytes": counted["bytes"],
        "of_version_1": counted["version 1"],
        "damaged": counted["damaged"],
        "partial": sum(1 for _ in partial.iterdir()) if partial.is_dir() else 0,
        "quarantined": files,
        "quarantined_bytes": kept_bytes,
    }


# --- verify and rebuild ---------------------------------------------------------------------------


def _verify(arguments: argparse.Namespace) -> int:
    return _told(_verified(arguments), arguments)


def _verified(arguments: argparse.Namespace) -> Iterator[int | Finding]:
    scratch = Scratch()
    root = arguments.store.absolute()
    for path in _named(root, arguments.keys) if arguments.keys else _all(root):
        yield (yield from check(path, scratch, whole=arguments.whole))


def _all(root: Path) -> Iterator[str]:
    for disk in places(root, failed=True):
        yield from objects_of(disk)


def _named(root: Path, keys: list[ObjectKey]) -> Iterator[str]:
    for key, paths in paths_of(root, keys):
        if not paths:
            raise StoreError(f"{key} is not held")
        yield from paths


def _rebuild(arguments: argparse.Namespace) -> int:
    with Store.open(arguments.store) as store:
        steps = (step for disk in store.disks() for step in store.rebuild(disk.name))
        code = _told(steps, arguments)
        for disk in store.disks():
            if disk.reason:
                sys.stderr.write(f"{disk.name} is {disk.state.value}: {disk.reason}\n")
                code = 1
        return code


def _readmit(arguments: argparse.Namespace) -> int:
    root = arguments.store.absolute()
    lock = take_lock(root / "lock")
    try:
        reason = readmit(root, arguments.disk)
    finally:
        os.close(lock)
    told = {"disk": str(arguments.disk), "was_left_alone_for": reason}
    plain = f"{arguments.disk} is used again from the next start on; it was left alone: {reason}"
    sys.stdout.write((_json(told) if arguments.json else plain) + "\n")
    return 0


def _told(steps: Iterator[int | Finding], arguments: argparse.Namespace) -> int:
    """Prints what is not as it should be as it is found, and how much was sound."""
    counted: Counter[Verdict] = Counter()
    read_bytes = 0
    progress = _Progress(sys.stderr, arguments.clock)
    for step in steps:
        if isinstance(step, int):
            read_bytes += step
            progress.tell(counted.total(), read_bytes)
            continue
        counted[step.verdict] += 1
        if step.verdict in LOST:
            progress.end()
            sys.stdout.write(_found(step, as_json=arguments.json) + "\n")
    progress.end()
    verdicts = {each.value: counted[each] for each in Verdict}
    if arguments.json:
        sys.stdout.write(_json(verdicts) + "\n")
    else:
        told = ", ".join(f"{count} {verdict}" for verdict, count in verdicts.items() if count)
        sys.stdout.write(f"objects: {told or 'none'}\n")
    return 1 if any(counted[verdict] for verdict in LOST) else 0


def _found(finding: Finding, *, as_json: bool) -> str:
    key = finding.header.key if finding.header else ""
    verdict = finding.verdict.value
    if as_json:
        return _json(
            {"verdict": verdict, "key": key, "path": finding.path, "reason": finding.reason}
        )
    return f"{verdict} {key or finding.path}: {finding.reason}"


class _Progress:
    """A line on a terminal that is written over, once a second; nothing where nobody looks."""

    def __init__(self, screen: TextIO, clock: Callable[[], float]) -> None:
        self._screen = screen if screen.isatty() else None
        self._clock = clock
        self._told_at = clock()
        self._told = False

    def tell(self, objects: int, count: int) -> None:
        now = self._clock()
        if self._screen is not None and now - self._told_at >= _PROGRESS_S:
            self._told_at, self._told = now, True
            self._screen.write(f"\r{objects:,} objects, {count / 1e9:,.1f} GB")
            self._screen.flush()

    def end(self) -> None:
        if self._screen is not None and self._told:
            self._screen.write("\r\x1b[K")
            self._told = False


def _json(told: object) -> str:
    return msgspec.json.encode(told).decode()


def _key(text: str) -> ObjectKey:
    try:
        return parse_key(text)
    except InvalidObjectKey as error:
        raise argparse.ArgumentTypeError(str(error)) from None
