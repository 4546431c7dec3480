from fractions import Fraction
from typing import Any

import pytest

from sluice_encoder.errors import SourceRefused
from sluice_encoder.source import source_facts


def _video(**changes: Any) -> dict[str, Any]:
    return {
        "index": 0,
        "codec_type": "video",
        "width": 1920,
        "height": 1080,
        "avg_frame_rate": "24/1",
        "duration": "30.0",
        **changes,
    }


def _probed(*streams: dict[str, Any]) -> dict[str, Any]:
    return {"streams": list(streams), "format": {"duration": "30.0"}}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"codec_type": "audio"}, "no video stream"),
        ({"disposition": {"attached_pic": 1}}, "no video stream"),
        ({"width": 0}, "the picture is 0x1080"),
        ({"height": 100_000}, "the picture is 1920x100000"),
        ({"avg_frame_rate": "0/0", "r_frame_rate": "0/0"}, "no frame rate"),
        ({"duration": "inf"}, "the duration is inf"),
        ({"duration": "999999999"}, "the duration is 999999999"),
        ({"duration": "soon"}, "the duration is soon"),
    ],
)
def test_what_no_film_can_be_is_refused_with_the_number(
    changes: dict[str, Any], reason: str
) -> None:
    with pytest.raises(SourceRefused, match=reason):
        source_facts(_probed(_video(**changes)))


def test_a_file_of_a_thousand_streams_is_refused() -> None:
    with pytest.raises(SourceRefused, match="1000 streams, expected at most 64"):
        source_facts(_probed(*[_video()] * 1000))


def test_a_phone_held_upright_makes_an_upright_film() -> None:
    turned = _video(side_data_list=[{"rotation": -90}])

    facts = source_facts(_probed(turned))

    assert (facts.width, facts.height) == (1080, 1920)


def test_pixels_that_are_not_square_are_counted_as_they_are_seen() -> None:
    facts = source_facts(_probed(_video(width=1440, sample_aspect_ratio="4:3")))

    assert (facts.width, facts.height) == (1920, 1080)


def test_a_language_that_is_not_one_is_not_passed_on() -> None:
    sound = {"index": 1, "codec_type": "audio", "channels": 2, "tags": {"language": "x,in=/etc"}}

    facts = source_facts(_probed(_video(), sound))

    assert facts.audio is not None
    assert facts.audio.language == ""
    assert facts.frame_rate == Fraction(24)
