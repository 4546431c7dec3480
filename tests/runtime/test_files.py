import os
import stat
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from sluice_runtime.files import write_atomically


def test_a_file_has_the_mode_it_was_given_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        write_atomically(tmp_path / "deep" / "map.pb", b"new")
        write_atomically(tmp_path / "key.pem", b"secret", mode=0o600)
    finally:
        os.umask(before)
    modes = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("deep/map.pb", "key.pem")]
    assert modes == [0o644, 0o600]


def failing_at(number: int, act: Callable[..., Any], calls: list[str]) -> Callable[..., Any]:
    def maybe(*arguments: Any, **options: Any) -> Any:
        calls.append(act.__name__)
        if len(calls) == number:
            raise OSError(5, "Input/output error")
        return act(*arguments, **options)

    return maybe


def test_whichever_step_fails_the_file_is_the_old_one_or_the_new_one(tmp_path: Path) -> None:
    path = tmp_path / "map.pb"
    for number in range(1, 20):
        path.write_bytes(b"old")
        calls: list[str] = []
        with pytest.MonkeyPatch.context() as patch:
            for name in ("fchmod", "fsync", "replace", "open"):
                patch.setattr(os, name, failing_at(number, getattr(os, name), calls))
            try:
                write_atomically(path, b"new")
            except OSError:
                pass
            else:
                assert len(calls) < number
                break
        # Only the folder's own sync comes after the rename.
        renamed = "replace" in calls[:-1]
        assert path.read_bytes() == (b"new" if renamed else b"old")
        assert os.listdir(tmp_path) == ["map.pb"]
    else:
        pytest.fail("it never succeeded")
    assert calls == ["open", "fchmod", "fsync", "replace", "open", "fsync"]
    assert path.read_bytes() == b"new"


def test_a_full_disk_leaves_the_old_file_and_nothing_beside_it(tmp_path: Path) -> None:
    (tmp_path / "map.pb").write_bytes(b"old")
    script = (
        "import resource, signal, sys, pathlib; from sluice_runtime.files import write_atomically;"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096));"
        "write_atomically(pathlib.Path(sys.argv[1]), b'x' * 100_000)"
    )
    ended = subprocess.run(
        [sys.executable, "-c", script, tmp_path / "map.pb"], capture_output=True, check=False
    )
    assert b"File too large" in ended.stderr
    assert (tmp_path / "map.pb").read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["map.pb"]


def test_writers_at_the_same_time_never_make_a_mixture(tmp_path: Path) -> None:
    path = tmp_path / "map.pb"
    contents = [bytes([number]) * 200_000 for number in range(4)]
    with ThreadPoolExecutor(4) as pool:
        for _ in range(5):
            list(pool.map(lambda content: write_atomically(path, content), contents))
            assert path.read_bytes() in contents
    assert os.listdir(tmp_path) == ["map.pb"]
