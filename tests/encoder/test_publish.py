import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice_encoder.errors import EncoderError, PublishFailed
from sluice_encoder.integrity import Measured, measure_file
from sluice_encoder.publish import publish, publish_order
from sluice_encoder.transcode import only_one

CONTENT = {
    "a.mp4": b"film" * 1000,
    "b.mp4": b"tone" * 500,
    "a.m3u8": b"#EXTM3U\na.mp4\n",
    "b.m3u8": b"#EXTM3U\nb.mp4\n",
    "integrity.json": b'{"objects":{"a.mp4":{},"b.mp4":{}}}',
    "manifest.mpd": b"<BaseURL>a.mp4</BaseURL><BaseURL>b.mp4</BaseURL>",
    "master.m3u8": b"#EXTM3U\na.m3u8\nb.m3u8\n",
}
VERSION = "v0123456789ab"
NAMED = re.compile(rb"[ab]\.(?:mp4|m3u8)")


class Died(Exception):
    pass


@pytest.fixture
def packaged(tmp_path: Path) -> Path:
    folder = tmp_path / "packaged"
    folder.mkdir()
    for name, content in CONTENT.items():
        (folder / name).write_bytes(content)
    return folder


def _measured(folder: Path) -> list[Measured]:
    return [measure_file(folder / name) for name in CONTENT]


def test_a_publish_that_dies_at_any_step_names_no_missing_file_and_the_next_one_finishes(
    packaged: Path, tmp_path: Path
) -> None:
    files = _measured(packaged)
    step = 0
    while True:
        origin = tmp_path / f"origin-{step}"
        target = origin / "film" / VERSION
        if _publish_dying_at(step, packaged, files, origin):
            break
        _nothing_missing_is_named(target)
        publish(packaged, files, origin=origin, title_id="film", version=VERSION)
        assert {p.name: p.read_bytes() for p in target.iterdir()} == CONTENT
        step += 1
    assert step == 4 * len(CONTENT) + 2


def _publish_dying_at(step: int, packaged: Path, files: list[Measured], origin: Path) -> bool:
    left = step

    def before(_: str) -> None:
        nonlocal left
        if left == 0:
            raise Died
        left -= 1

    try:
        publish(packaged, files, origin=origin, title_id="film", version=VERSION, before=before)
    except Died:
        return False
    return True


def _nothing_missing_is_named(target: Path) -> None:
    for manifest in target.glob("[!.]*"):
        if manifest.suffix == ".mp4":
            assert manifest.read_bytes() == CONTENT[manifest.name]
            continue
        for name in NAMED.findall(manifest.read_bytes()):
            assert (target / name.decode()).is_file(), f"{manifest.name} names {name!r}"


def test_publishing_the_same_again_writes_nothing(packaged: Path, tmp_path: Path) -> None:
    files, origin, steps = _measured(packaged), tmp_path / "origin", list[str]()
    publish(packaged, files, origin=origin, title_id="film", version=VERSION)

    publish(packaged, files, origin=origin, title_id="film", version=VERSION, before=steps.append)

    assert not [step for step in steps if step.startswith("write")]


def test_a_file_damaged_in_the_origin_is_replaced(packaged: Path, tmp_path: Path) -> None:
    files, origin = _measured(packaged), tmp_path / "origin"
    publish(packaged, files, origin=origin, title_id="film", version=VERSION)
    damaged = origin / "film" / VERSION / "a.mp4"
    damaged.write_bytes(b"x" * len(CONTENT["a.mp4"]))

    publish(packaged, files, origin=origin, title_id="film", version=VERSION)

    assert damaged.read_bytes() == CONTENT["a.mp4"]


def test_a_file_that_changed_since_it_was_measured_is_not_published(
    packaged: Path, tmp_path: Path
) -> None:
    files = _measured(packaged)
    (packaged / "b.mp4").write_bytes(b"other")

    with pytest.raises(PublishFailed, match=r"b\.mp4 changed"):
        publish(packaged, files, origin=tmp_path / "o", title_id="film", version=VERSION)

    assert not (tmp_path / "o" / "film" / VERSION / "b.mp4").exists()


def test_two_publishes_of_one_version_do_not_mix(packaged: Path, tmp_path: Path) -> None:
    target = tmp_path / "o" / "film" / VERSION
    with only_one(target, "publish"), pytest.raises(EncoderError, match="another publish"):
        publish(
            packaged,
            _measured(packaged),
            origin=tmp_path / "o",
            title_id="film",
            version=VERSION,
        )


@given(st.permutations(list(CONTENT)))
def test_what_names_a_file_always_comes_after_it(names: list[str]) -> None:
    order = publish_order(names)

    for name in order:
        for named in NAMED.findall(CONTENT[name]):
            if named.decode() != name:
                assert order.index(named.decode()) < order.index(name)
