"""`sluice-appliance import`: puts one file into a store by hand, as a fill would."""

import argparse
import hashlib
import mimetypes
import sys
from pathlib import Path
from typing import Any

from sluice_appliance.object_key import InvalidObjectKey, ObjectKey, parse_key
from sluice_appliance.store.errors import StoreError
from sluice_appliance.store.layout import LayoutError
from sluice_appliance.store.store import Store

_READ_BYTES = 1024 * 1024
# Those that Python's table does not know, or knows differently from players.
_MEDIA_TYPES = {
    ".m3u8": "application/vnd.apple.mpegurl",
    ".mpd": "application/dash+xml",
    ".m4s": "video/iso.segment",
    ".mp4": "video/mp4",
}


def add_to(verbs: "argparse._SubParsersAction[Any]") -> None:
    parser = verbs.add_parser(
        "import",
        help="put a file into a store",
        description="Puts FILE into a store under KEY, beside a `serve` that serves it at once.",
        epilog="example: sluice-appliance import --store /srv/sluice --key film/v1/a.mp4 a.mp4",
    )
    parser.add_argument("--store", type=Path, required=True, metavar="DIR", help="the store")
    parser.add_argument(
        "--key", type=_key, required=True, help="its name, such as film/v1/a.mp4; served at /KEY"
    )
    parser.add_argument(
        "--content-type", metavar="T", help="the media type; guessed from KEY when not given"
    )
    parser.add_argument("file", type=Path, metavar="FILE", help="what to put there")
    parser.set_defaults(act=_import)


def guess_content_type(key: ObjectKey) -> str:
    suffix = Path(key).suffix
    guessed = _MEDIA_TYPES.get(suffix) or mimetypes.guess_type(key)[0]
    return guessed or "application/octet-stream"


def import_file(store: Store, file: Path, key: ObjectKey, content_type: str) -> int:
    """Returns its size in bytes. Raises StoreError, LayoutError, OSError."""
    size_bytes = file.stat().st_size
    with file.open("rb") as source:
        sha256 = hashlib.file_digest(source, "sha256").digest()
        partial = store.begin(key, size_bytes, sha256, content_type)
        try:
            source.seek(partial.received_bytes)
            while data := source.read(_READ_BYTES):
                partial.write(data)
            partial.publish()
        except StoreError:
            # The file changed under our hands.
            partial.discard()
            raise
        finally:
            partial.close()
    return size_bytes


def _import(arguments: argparse.Namespace) -> int:
    """0 done, 1 it failed, 2 the command line is wrong or the store is another's."""
    content_type = arguments.content_type or guess_content_type(arguments.key)
    try:
        if not arguments.file.is_file():
            return _refuse(f"{arguments.file} is not a file")
        with Store.open(arguments.store) as store:
            size_bytes = import_file(store, arguments.file, arguments.key, content_type)
    except (StoreError, LayoutError) as error:
        return _refuse(str(error))
    except OSError as error:
        sys.stderr.write(f"sluice-appliance import: {error}\n")
        return 1
    sys.stdout.write(f"{arguments.key} {size_bytes} bytes {content_type}\n")
    return 0


def _refuse(reason: str) -> int:
    sys.stderr.write(f"sluice-appliance import: {reason}\n")
    return 2


def _key(text: str) -> ObjectKey:
    try:
        return parse_key(text)
    except InvalidObjectKey as error:
        raise argparse.ArgumentTypeError(str(error)) from None
