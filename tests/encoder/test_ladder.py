from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice_encoder.ladder import FRAME_RATES, Ladder, LadderPolicy, plan_ladder
from sluice_encoder.source import AudioFacts, SourceFacts

POLICY = LadderPolicy((1080, 720, 360, 240, 180), 3, 2.0, 5000, 128)


def _ladder(width: int, height: int, rate: Fraction | int = 24, *, audio: bool = True) -> Ladder:
    facts = SourceFacts(
        0, width, height, Fraction(rate), 30.0, False, AudioFacts(1, 6, "en") if audio else None
    )
    return plan_ladder(facts, POLICY)


@pytest.mark.parametrize(
    ("source", "sizes"),
    [
        ((1920, 1080), [(1920, 1080), (1280, 720), (640, 360)]),
        ((3840, 2160), [(1920, 1080), (1280, 720), (640, 360)]),
        ((1280, 720), [(1280, 720), (640, 360), (426, 240)]),
        ((640, 360), [(640, 360), (426, 240), (320, 180)]),
        ((320, 180), [(320, 180)]),
        ((1080, 1920), [(1080, 1920), (720, 1280), (360, 640)]),
        ((1920, 800), [(1920, 800), (1280, 532), (640, 266)]),
        ((641, 361), [(640, 360), (426, 240), (318, 180)]),
    ],
)
def test_a_film_gets_its_own_size_and_the_steps_below_it(
    source: tuple[int, int], sizes: list[tuple[int, int]]
) -> None:
    assert [(rung.width, rung.height) for rung in _ladder(*source).video] == sizes


def test_a_film_without_sound_gets_no_audio_rendition() -> None:
    assert _ladder(640, 360, audio=False).audio is None
    assert _ladder(640, 360).audio is not None


@pytest.mark.parametrize(
    ("rate", "normal", "gop"),
    [
        (Fraction(24), Fraction(24), 48),
        (Fraction(24000, 1001), Fraction(24000, 1001), 48),
        (Fraction(2973, 100), Fraction(30000, 1001), 60),
        (Fraction(120), Fraction(60), 120),
    ],
)
def test_an_odd_or_varying_rate_becomes_the_nearest_one_that_screens_know(
    rate: Fraction, normal: Fraction, gop: int
) -> None:
    ladder = _ladder(640, 360, rate)

    assert (ladder.frame_rate, ladder.gop_frames) == (normal, gop)


@given(
    width=st.integers(16, 8192),
    height=st.integers(16, 8192),
    rate=st.fractions(Fraction(1, 2), 300),
)
def test_every_ladder_steps_down_evenly_and_never_makes_a_film_larger(
    width: int, height: int, rate: Fraction
) -> None:
    ladder = _ladder(width, height, rate)

    assert 1 <= len(ladder.video) <= 3
    assert len({rung.name for rung in ladder.video}) == len(ladder.video)
    for above, below in zip(ladder.video, ladder.video[1:], strict=False):
        assert below.width * below.height < above.width * above.height
        assert below.peak_kbps <= above.peak_kbps
    for rung in ladder.video:
        assert rung.width % 2 == rung.height % 2 == 0
        assert rung.width <= width
        assert rung.height <= height
    assert ladder.frame_rate in FRAME_RATES
    # No segment is without a key frame at its start.
    assert ladder.gop_frames / ladder.frame_rate >= 2
