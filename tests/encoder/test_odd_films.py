"""Files that are no films, and films that are odd: a clear line, or a right result."""

import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from encoder import films
from encoder.conftest import PROGRAM, encode, published


def _refused(file: Path, room: Path) -> str:
    done = encode(file, room)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1, done.stderr
    assert done.stderr.startswith(f"sluice-encoder: {file}: ")
    assert not list((room / "origin").rglob("*.m3u8"))
    return done.stderr


def test_what_is_no_film_is_refused_in_one_line(tmp_path: Path) -> None:
    text = tmp_path / "text.mp4"
    text.write_text("a letter\n" * 100)
    empty = tmp_path / "empty.mp4"
    empty.touch()
    sound = films.make(tmp_path / "sound.mp4", *films.tone())

    assert "not a film that ffprobe can read" in _refused(text, tmp_path)
    assert "is empty" in _refused(empty, tmp_path)
    assert "is not there" in _refused(tmp_path / "nowhere.mp4", tmp_path)
    assert "is no file" in _refused(tmp_path, tmp_path)
    assert "no video stream (streams: audio)" in _refused(sound, tmp_path)


def test_a_script_that_calls_itself_a_film_reads_no_other_file(tmp_path: Path) -> None:
    films.make(tmp_path / "secret.mp4", *films.shapes(seconds=1), *films.FAST)
    script = tmp_path / "script.mp4"
    script.write_text("ffconcat version 1.0\nfile secret.mp4\n")

    assert "not on whitelist" in _refused(script, tmp_path)


def test_a_film_that_lost_its_end_is_refused(tmp_path: Path) -> None:
    whole = films.make(
        tmp_path / "whole.mp4", *films.shapes(seconds=8), *films.FAST, "-movflags", "faststart"
    )
    content = whole.read_bytes()
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(content[: len(content) // 2])

    assert "cut off or damaged" in _refused(cut, tmp_path)


@pytest.mark.parametrize(
    ("size", "rung", "shape"),
    [("180x320", "h264-180p", "180x320"), ("321x181", "h264-180p", "320x180")],
)
def test_upright_and_odd_sizes_come_out_even_and_in_shape(
    tmp_path: Path, size: str, rung: str, shape: str
) -> None:
    source = films.make(
        tmp_path / "odd.mkv", *films.shapes(size, seconds=2), "-c:v", "ffv1", "-pix_fmt", "yuv444p"
    )

    got = published(encode(source, tmp_path), tmp_path)

    assert f"RESOLUTION={shape}," in (got.folder / "master.m3u8").read_text()
    assert (got.folder / f"{rung}.mp4").is_file()


def test_a_silent_film_has_no_audio_rendition_anywhere(tmp_path: Path) -> None:
    source = films.make(tmp_path / "silent.mp4", *films.shapes(seconds=2), *films.FAST)

    got = published(encode(source, tmp_path), tmp_path)

    assert not list(got.folder.glob("aac*"))
    assert "AUDIO" not in (got.folder / "master.m3u8").read_text()


def test_a_film_of_varying_rate_gets_even_segments(tmp_path: Path) -> None:
    source = films.make(
        tmp_path / "vfr.mkv",
        *films.shapes(rate=30),
        *("-vf", "select='not(mod(n,3))+lt(n,60)'", "-fps_mode", "vfr", *films.FAST),
    )

    got = published(encode(source, tmp_path), tmp_path)

    playlist = (got.folder / "h264-180p.m3u8").read_text()
    lengths = [
        float(line[8:].rstrip(",")) for line in playlist.splitlines() if line.startswith("#EXTINF")
    ]
    assert lengths[0] == pytest.approx(2.0, abs=0.25)
    assert sum(lengths) == pytest.approx(4.0, abs=0.2)


def test_an_encode_that_is_stopped_takes_its_ffmpeg_with_it_and_the_next_one_is_whole(
    tmp_path: Path,
) -> None:
    source = films.make(tmp_path / "long.mp4", *films.shapes("640x360", seconds=20), *films.FAST)
    for number in (signal.SIGTERM, signal.SIGKILL):
        process = subprocess.Popen(
            [
                *(PROGRAM, "encode", str(source), "--title-id", "clip"),
                *("--out", str(tmp_path / "origin"), "--work", str(tmp_path / "work")),
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        _until(lambda: bool(list((tmp_path / "work").rglob("*.part/*.mp4"))))
        os.kill(process.pid, number)
        _, said = process.communicate(timeout=20)
        if number == signal.SIGTERM:
            assert (process.returncode, said) == (1, "sluice-encoder: stopped\n")
        _until(lambda: not _using(tmp_path / "work"))
        assert not list((tmp_path / "work").rglob(".ok"))
        assert not list((tmp_path / "origin").rglob("*.m3u8"))

    small = films.make(tmp_path / "small.mp4", *films.shapes(seconds=2), *films.FAST)
    published(encode(small, tmp_path), tmp_path)


def _using(folder: Path) -> list[str]:
    """Processes that stand in `folder`."""
    found = []
    for link in Path("/proc").glob("[0-9]*/cwd"):
        try:
            if Path(os.readlink(link)).is_relative_to(folder):
                found.append(str(link))
        except OSError:
            continue
    return found


def _until(true: Callable[[], bool], deadline_s: float = 30.0) -> None:
    end = time.monotonic() + deadline_s
    while not true():
        assert time.monotonic() < end, "not in time"
        time.sleep(0.02)
