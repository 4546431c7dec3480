"""The player against real sockets that misbehave on purpose."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from cli.playing.film import Film
from cli.playing.theatre import (
    SITE_B,
    STEERED,
    Fault,
    Theatre,
    dies,
    has_nothing,
    lies,
    only_media,
    sends_too_little,
    sends_too_much,
    stalls,
    theatre,
)

from sluice_cli.errors import BadArgument
from sluice_cli.playing.errors import PlaybackRefused
from sluice_cli.playing.report import PlayReport

Scene = Callable[[Theatre], Awaitable[PlayReport]]


def run(folder: Path, scene: Scene, film: Film | None = None) -> PlayReport:
    async def show() -> PlayReport:
        async with theatre(folder, film) as stage:
            return await scene(stage)

    return asyncio.run(show())


def test_a_film_is_played_whole_from_the_first_appliance_that_dns_names(tmp_path: Path) -> None:
    async def scene(stage: Theatre) -> PlayReport:
        report = await stage.play()
        assert stage.boxes["a-1"].hosts == {f"{STEERED}:{stage.data_port}"}
        assert not stage.boxes["a-2"].requests
        return report

    report = run(tmp_path, scene)

    assert report.digest_ok
    assert report.error is None
    assert report.seconds == pytest.approx(10.0)
    # Five of picture, five of sound.
    assert report.segments == 10
    assert report.failovers == report.rebuffers == 0
    assert set(report.appliances) == {"a-1"}
    assert sum(report.appliances.values()) == report.bytes > 0
    assert report.startup_ms >= 1
    assert report.throughput_mbps > 0


def test_dns_hears_the_clients_subnet_and_not_the_client(tmp_path: Path) -> None:
    async def scene(stage: Theatre) -> PlayReport:
        report = await stage.play(client="10.1.2.3")
        await stage.play(client="2001:db8:a:1:2::3")
        await stage.play(client=None)
        subnets = [question.subnet for question in stage.names.questions]
        assert set(subnets) == {"10.1.2.0/24", "2001:db8:a::/56", None}
        addresses = [body.get("client_address") for body in stage.asked if "resolve" not in body]
        assert addresses == ["10.1.2.3", "2001:db8:a:1:2::3", None]
        return report

    assert run(tmp_path, scene).digest_ok


def test_one_dns_question_of_each_kind_lasts_as_long_as_the_answer_lives(tmp_path: Path) -> None:
    async def scene(stage: Theatre) -> PlayReport:
        stage.names.ttl_s = 60
        report = await stage.play()
        assert [question.kind for question in stage.names.questions] == ["A", "AAAA"]
        return report

    assert run(tmp_path, scene).digest_ok


def test_an_answer_that_ran_out_is_asked_for_again_and_followed(tmp_path: Path) -> None:
    async def scene(stage: Theatre) -> PlayReport:
        stage.names.ttl_s = 0
        return await stage.play(watch=lambda shown: stage.steer("a-2"))

    report = run(tmp_path, scene)

    assert report.digest_ok
    assert set(report.appliances) == {"a-1", "a-2"}
    # Being steered elsewhere is no fault.
    assert report.failovers == 0


def test_a_truncated_answer_is_asked_for_again_over_tcp(tmp_path: Path) -> None:
    async def scene(stage: Theatre) -> PlayReport:
        stage.names.truncates = True
        report = await stage.play()
        assert any(question.over_tcp for question in stage.names.questions)
        return report

    assert run(tmp_path, scene).digest_ok


@pytest.mark.parametrize(
    ("fault", "named"),
    [
        (dies, "truncated"),
        (lies, "wrong bytes"),
        (has_nothing, "status"),
        (sends_too_much, "overlong"),
        (sends_too_little, "truncated"),
        (stalls, "stalled"),
    ],
)
def test_an_appliance_that_fails_in_mid_play_is_left_for_its_neighbour(
    tmp_path: Path, fault: Fault, named: str
) -> None:
    async def scene(stage: Theatre) -> PlayReport:
        stage.boxes["a-1"].fault = only_media(fault, after=4)
        return await stage.play()

    report = run(tmp_path, scene)

    assert report.digest_ok, report.error
    assert report.seconds == pytest.approx(10.0)
    assert report.failovers >= 1
    assert report.faults[named] >= 1
    assert set(report.appliances) == {"a-1", "a-2"}
    assert sum(report.appliances.values()) == report.bytes


def test_what_came_from_a_liar_is_fetched_whole_again_elsewhere(tmp_path: Path) -> None:
    async def scene(stage: Theatre) -> PlayReport:
        stage.boxes["a-1"].fault = only_media(lies)
        report = await stage.play()
        [refused, *_] = [asked for asked in stage.boxes["a-1"].requests if asked[1]]
        assert refused in stage.boxes["a-2"].requests
        return report

    assert run(tmp_path, scene).digest_ok


def test_a_site_whose_appliances_are_all_dead_is_left_for_the_next_pathway(tmp_path: Path) -> None:
    async def scene(stage: Theatre) -> PlayReport:
        for name in ("a-1", "a-2"):
            await stage.boxes[name].close()
        report = await stage.play()
        # The dead name was asked for again before it was given up.
        assert stage.names.asked(STEERED) == 4
        return report

    report = run(tmp_path, scene)

    assert report.digest_ok
    assert set(report.appliances) == {"b-1"}
    # Two dead addresses once; then the pathway is avoided.
    assert report.failovers == 2


def test_an_address_that_only_the_second_answer_names_is_tried_before_another_site(
    tmp_path: Path,
) -> None:
    async def scene(stage: Theatre) -> PlayReport:
        async def dies_and_is_replaced(*arguments: object) -> None:
            stage.steer("a-2")
            return await dies(*arguments)  # type: ignore[arg-type,return-value]

        stage.steer("a-1")
        stage.boxes["a-1"].fault = only_media(dies_and_is_replaced, after=2)
        return await stage.play()

    report = run(tmp_path, scene)

    assert report.digest_ok
    assert set(report.appliances) == {"a-1", "a-2"}
    assert report.failovers == 1


def test_a_name_that_does_not_exist_sends_the_player_to_the_next_pathway(tmp_path: Path) -> None:
    async def scene(stage: Theatre) -> PlayReport:
        del stage.names.records[STEERED]
        return await stage.play()

    report = run(tmp_path, scene)

    assert report.digest_ok
    assert set(report.appliances) == {"b-1"}


def test_known_addresses_are_used_while_dns_is_silent(tmp_path: Path) -> None:
    async def scene(stage: Theatre) -> PlayReport:
        stage.names.ttl_s = 0

        def silence(shown: object) -> None:
            stage.names.silent = True

        return await stage.play(watch=silence)

    report = run(tmp_path, scene)

    assert report.digest_ok
    assert set(report.appliances) == {"a-1"}


def test_a_play_that_nobody_can_serve_ends_with_what_was_tried(tmp_path: Path) -> None:
    async def scene(stage: Theatre) -> PlayReport:
        nobody_has_the_fifth = only_media(has_nothing, after=4)
        for box in stage.boxes.values():
            box.fault = nobody_has_the_fifth
        return await stage.play()

    report = run(tmp_path, scene)

    assert not report.digest_ok
    assert report.error is not None
    assert "nobody has" in report.error
    assert "status 404" in report.error
    # What was shown until then was verified, and is told.
    assert 0 < report.seconds < 10


def test_a_film_that_everybody_has_wrong_is_not_shown(tmp_path: Path) -> None:
    async def scene(stage: Theatre) -> PlayReport:
        for box in stage.boxes.values():
            box.fault = only_media(lies)
        return await stage.play()

    report = run(tmp_path, scene)

    assert not report.digest_ok
    assert report.segments == 0
    assert report.seconds == 0
    assert set(report.faults) == {"wrong bytes"}


def test_an_integrity_file_that_the_gateway_did_not_vouch_for_is_refused(tmp_path: Path) -> None:
    async def scene(stage: Theatre) -> PlayReport:
        stage.integrity_sha256 = "0" * 64
        return await stage.play()

    report = run(tmp_path, scene)

    assert not report.digest_ok
    assert report.bytes == 0
    assert "integrity.json" in str(report.error)


def test_a_playlist_that_was_changed_is_refused(tmp_path: Path) -> None:
    film = Film()
    film.files["h264-360p.m3u8"] = film.files["h264-360p.m3u8"].replace(b"2.000", b"2.001")

    report = run(tmp_path, lambda stage: stage.play(), film)

    assert not report.digest_ok
    assert "h264-360p.m3u8" in str(report.error)


def test_a_fast_path_is_climbed_and_a_chosen_rendition_is_kept(tmp_path: Path) -> None:
    climbing = run(tmp_path, lambda stage: stage.play())
    kept = run(tmp_path, lambda stage: stage.play(rendition="h264-360p"))

    assert climbing.renditions["h264-720p"] >= 3
    # The first segment is the small one: the picture starts soon.
    assert climbing.renditions["h264-360p"] >= 1
    assert kept.renditions == {"aac-128k": 5, "h264-360p": 5}


def test_a_rendition_that_there_is_not_is_named_with_those_that_there_are(tmp_path: Path) -> None:
    with pytest.raises(BadArgument, match=r"h264-9000p.*h264-360p, h264-720p"):
        run(tmp_path, lambda stage: stage.play(rendition="h264-9000p"))


def test_seconds_stop_the_play_at_the_end_of_a_segment(tmp_path: Path) -> None:
    report = run(tmp_path, lambda stage: stage.play(seconds=3.0))

    assert report.seconds == pytest.approx(4.0)
    assert report.renditions["aac-128k"] == 2


def test_a_film_without_sound_is_played(tmp_path: Path) -> None:
    report = run(tmp_path, lambda stage: stage.play(), Film(sound=False))

    assert report.digest_ok
    assert report.segments == 5


def test_playing_in_real_time_takes_as_long_as_the_film(tmp_path: Path) -> None:
    film = Film(segment_s=0.5, segments=4)

    report = run(tmp_path, lambda stage: stage.play(realtime=True, buffer_s=1.0), film)

    assert report.wall_s >= 2.0
    assert report.rebuffers == 0


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (404, "there is no title"),
        (409, "not live yet"),
        (503, "nobody can serve"),
        (500, "refuses"),
    ],
)
def test_what_the_gateway_refuses_is_said_in_its_words(
    tmp_path: Path, status: int, words: str
) -> None:
    async def scene(stage: Theatre) -> PlayReport:
        stage.refusal = (status, {"title": "No", "status": status, "detail": "because of 42"})
        return await stage.play()

    with pytest.raises(PlaybackRefused, match=words) as refused:
        run(tmp_path, scene)
    assert "because of 42" in str(refused.value)


def test_the_other_sites_name_is_asked_only_when_it_is_needed(tmp_path: Path) -> None:
    async def scene(stage: Theatre) -> PlayReport:
        report = await stage.play()
        assert stage.names.asked(SITE_B) == 0
        return report

    assert run(tmp_path, scene).digest_ok
