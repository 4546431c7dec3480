"""`sluice-encoder`: films in, titles out, and the origin that they lie in."""

import argparse
import asyncio
import dataclasses
import json
import random
import sys
import uuid
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any, TypeVar, cast

from sluice_encoder import film, job
from sluice_encoder.config import EncoderConfig
from sluice_encoder.errors import EncoderError
from sluice_encoder.keys import title_id
from sluice_encoder.origin.command import run_origin
from sluice_encoder.progress import JsonProgress, Progress, TextProgress
from sluice_runtime import config, lifecycle, logs, rpc
from sluice_runtime.addresses import parse_address

PROGRAM = "sluice-encoder"
T = TypeVar("T")


class UsageError(Exception):
    """The command line is wrong."""


def main(argv: Sequence[str] | None = None) -> int:
    """Exit codes: 0 done or told to stop serving, 1 it failed, 2 the command line or a file is wrong."""
    lifecycle.die_with_keeper()
    logs.configure(PROGRAM)
    arguments = _parser().parse_args(argv)
    try:
        return int(arguments.act(arguments))
    except (config.ConfigError, UsageError) as error:
        return _complain(error, 2)
    except EncoderError as error:
        return _complain(error, 1)
    except BrokenPipeError:
        return 1
    except OSError as error:
        return _complain(f"{error.filename or 'i/o'}: {error.strerror or error}", 1)


def _complain(what: object, code: int) -> int:
    print(f"{PROGRAM}: {what}", file=sys.stderr)
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=PROGRAM,
        description="Makes titles out of films, and serves the origin that they lie in.",
        epilog="example: sluice-encoder encode film.mp4 --title-id my-film --out origin --work work",
    )
    verbs = parser.add_subparsers(title="verbs", required=True, metavar="VERB")
    _add_verb(verbs)
    _encode_verb(verbs)
    _probe_verb(verbs)
    _clip_verb(verbs)
    _film_verb(verbs)
    _origin_verb(verbs)
    _check_config_verb(verbs)
    return parser


def _add_verb(verbs: Any) -> None:
    verb = _verb(
        verbs,
        "add",
        _add,
        "Encode a film, publish it to the origin, register it with the control plane.",
        "sluice-encoder add film.mp4 --title-id my-film --name 'My film' --origin origin "
        "--control-plane 127.0.0.1:8443 --identity identities/publisher --work work",
    )
    _making(verb)
    verb.add_argument("--name", required=True, help="what people read")
    verb.add_argument("--attribution", default="", help="who must be named when it is shown")
    verb.add_argument("--origin", type=Path, required=True, help="the origin's folder")
    verb.add_argument("--control-plane", required=True, type=_address, metavar="HOST:PORT")
    verb.add_argument(
        "--identity", type=Path, required=True, help="folder with ca.pem, cert.pem and key.pem"
    )


def _encode_verb(verbs: Any) -> None:
    verb = _verb(
        verbs,
        "encode",
        _encode,
        "Encode a film and publish it to a folder, telling nobody.",
        "sluice-encoder encode film.mp4 --title-id my-film --out origin --work work",
    )
    _making(verb)
    verb.add_argument("--out", type=Path, required=True, help="files go to OUT/TITLE/VERSION/")


def _making(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("file", type=Path)
    verb.add_argument("--title-id", required=True, type=_title_id, metavar="ID")
    verb.add_argument("--work", type=Path, help="where unfinished encodes are kept")
    verb.add_argument("--config", type=Path, help="a TOML file; see check-config")
    verb.add_argument("--json-progress", action="store_true", help="a JSON object a line")


def _probe_verb(verbs: Any) -> None:
    verb = _verb(
        verbs, "probe", _probe, "Say what a film is.", "sluice-encoder probe film.mp4 --json"
    )
    verb.add_argument("file", type=Path)
    verb.add_argument("--json", action="store_true")


def _clip_verb(verbs: Any) -> None:
    verb = _verb(
        verbs,
        "clip",
        _clip,
        "Make a test film: moving shapes and a tone.",
        "sluice-encoder clip --out clip.mp4 --seconds 10 --width 640 --height 360",
    )
    verb.add_argument("--out", type=Path, required=True)
    verb.add_argument("--seconds", type=_number(0.1, 3600), default=10.0)
    verb.add_argument("--width", type=_number(16, 4096), default=640)
    verb.add_argument("--height", type=_number(16, 4096), default=360)
    verb.add_argument("--rate", type=_number(5, 60), default=24, help="frames a second")


def _film_verb(verbs: Any) -> None:
    verb = _verb(
        verbs,
        "film",
        _film,
        "Fetch the film of the first run, or make a test pattern where it cannot be had.",
        "sluice-encoder film --out film.mp4",
    )
    verb.add_argument("--out", type=Path, required=True)
    verb.add_argument("--json-progress", action="store_true", help="a JSON object a line")


def _origin_verb(verbs: Any) -> None:
    verb = _verb(
        verbs,
        "origin",
        _origin,
        "Serve the published folder over HTTP.",
        "sluice-encoder origin --root origin --listen 127.0.0.1:8090 --admin 127.0.0.1:9090",
    )
    verb.add_argument("--root", type=Path, required=True)
    verb.add_argument("--listen", type=_address, required=True, metavar="HOST:PORT")
    verb.add_argument("--admin", type=_address, metavar="HOST:PORT", help="/metrics and /healthz")


def _check_config_verb(verbs: Any) -> None:
    verb = _verb(
        verbs,
        "check-config",
        _check_config,
        "Read a configuration as `add --config` does.",
        "sluice-encoder check-config encoder.toml",
    )
    verb.add_argument("file", type=Path)


def _verb(
    verbs: Any, name: str, act: Callable[[argparse.Namespace], int], sentence: str, example: str
) -> argparse.ArgumentParser:
    verb: argparse.ArgumentParser = verbs.add_parser(
        name, help=sentence, description=sentence, epilog=f"example: {example}"
    )
    verb.set_defaults(act=act)
    return verb


def _add(arguments: argparse.Namespace) -> int:
    registered = job.registration(
        arguments.control_plane,
        rpc.TlsFiles.in_folder(arguments.identity),
        display_name=arguments.name,
        attribution=arguments.attribution,
        request_id=str(uuid.uuid4()),
        rng=random.Random(),
    )
    return _make(arguments, arguments.origin, registered)


def _encode(arguments: argparse.Namespace) -> int:
    return _make(arguments, arguments.out, None)


def _make(arguments: argparse.Namespace, origin: Path, registered: job.Registered | None) -> int:
    settings = EncoderConfig()
    if arguments.config is not None:
        settings = config.load(arguments.config, EncoderConfig)
    work = arguments.work or settings.work_folder
    if work is None:
        raise UsageError("say where to work: --work DIR, or work_folder in --config FILE")
    progress = _progress(arguments)
    made = _until_stopped(
        job.make_title(
            arguments.file,
            title_id=arguments.title_id,
            origin=origin,
            work=work,
            settings=settings,
            progress=progress,
            registered=registered,
        )
    )
    name = f"titles/{made.title_id}"
    objects, size_bytes = len(made.files), made.size_bytes
    progress.finish(
        {
            "step": "done",
            "title": name,
            "version": made.version,
            "objects": objects,
            "bytes": size_bytes,
        },
        f"{name} {made.version}: {objects} objects, {size_bytes} bytes",
    )
    return 0


def _probe(arguments: argparse.Namespace) -> int:
    source = _until_stopped(job.examine(arguments.file))
    if arguments.json:
        print(json.dumps(dataclasses.asdict(source), default=str))
    else:
        print(job.described(source))
    return 0


def _clip(arguments: argparse.Namespace) -> int:
    _until_stopped(
        film.make_clip(
            arguments.out,
            seconds=arguments.seconds,
            # Encoders want even sides.
            width=int(arguments.width) // 2 * 2,
            height=int(arguments.height) // 2 * 2,
            rate=int(arguments.rate),
        )
    )
    return 0


def _film(arguments: argparse.Namespace) -> int:
    progress = _progress(arguments)
    got = _until_stopped(
        film.fetch_film(
            arguments.out, told=lambda done, detail: progress.step("film", done, detail)
        )
    )
    facts = {"film": got.title_id, "attribution": got.attribution}
    sentence = f"{arguments.out}: {got.title_id} {got.attribution}".rstrip()
    if got.instead_because:
        facts["instead_because"] = got.instead_because
        sentence += f" (the film cannot be had: {got.instead_because})"
    progress.step("film", 1.0, str(facts["film"]))
    progress.finish(facts, sentence)
    return 0


def _origin(arguments: argparse.Namespace) -> int:
    admin = None if arguments.admin is None else parse_address(arguments.admin)
    if not arguments.root.is_dir():
        raise UsageError(f"--root {arguments.root} is not a folder")
    return asyncio.run(run_origin(arguments.root, parse_address(arguments.listen), admin))


def _check_config(arguments: argparse.Namespace) -> int:
    config.load(arguments.file, EncoderConfig)
    print(f"{arguments.file}: ok")
    return 0


def _progress(arguments: argparse.Namespace) -> Progress:
    return JsonProgress(sys.stdout) if arguments.json_progress else TextProgress(sys.stdout)


def _until_stopped(work: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(_or_stopped(work))


async def _or_stopped(work: Coroutine[Any, Any, T]) -> T:
    """A signal cancels the work, which ends its children; what was begun is resumed next time."""
    with lifecycle.stop_signals() as stop:
        async with asyncio.TaskGroup() as tasks:
            working = tasks.create_task(_result_of(work))
            stopping = tasks.create_task(stop.wait())
            await asyncio.wait((working, stopping), return_when=asyncio.FIRST_COMPLETED)
            working.cancel()
            stopping.cancel()
    if working.cancelled():
        raise EncoderError("stopped")
    value, error = working.result()
    if error is not None:
        raise error
    return cast(T, value)


async def _result_of(work: Coroutine[Any, Any, T]) -> tuple[T | None, Exception | None]:
    try:
        return await work, None
    except Exception as error:
        return None, error


def _title_id(text: str) -> str:
    return _argument(title_id, text)


def _address(text: str) -> str:
    _argument(parse_address, text)
    return text


def _number(low: float, high: float) -> Callable[[str], float]:
    def parse(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = float("nan")
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"{text} is no number of {low:g}..{high:g}")
        return value

    return parse


def _argument(parse: Callable[[str], T], text: str) -> T:
    try:
        return parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


if __name__ == "__main__":
    sys.exit(main())
