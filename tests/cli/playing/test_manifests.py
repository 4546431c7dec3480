"""Playlists and digests: what is read from them, and what is refused."""

import contextlib
import hashlib
import json

import pytest
from cli.playing.film import INIT_BYTES, Film
from hypothesis import given
from hypothesis import strategies as st

from sluice_cli.playing.errors import ManifestUnusable
from sluice_cli.playing.integrity import Integrity
from sluice_cli.playing.playlists import ByteRange, read_master, read_media

MEDIA = """#EXTM3U
#EXT-X-TARGETDURATION:4
#EXT-X-MAP:URI="v.mp4",BYTERANGE="100@0"
#EXTINF:4.0,
#EXT-X-BYTERANGE:10@100
v.mp4
#EXTINF:2.5,
#EXT-X-BYTERANGE:20
v.mp4
#EXT-X-ENDLIST
"""


def test_a_range_without_an_offset_follows_the_one_before() -> None:
    playlist = read_media(MEDIA, file="v.m3u8")
    assert playlist.rendition_id == "v"
    assert playlist.init == ByteRange("v.mp4", 0, 100)
    assert [segment.bytes for segment in playlist.segments] == [
        ByteRange("v.mp4", 100, 10),
        ByteRange("v.mp4", 110, 20),
    ]
    assert playlist.duration_s == pytest.approx(6.5)


def test_every_range_that_a_published_playlist_names_has_a_digest() -> None:
    film = Film()
    integrity = Integrity.parse(film.files["integrity.json"])
    for variant in read_master(film.files["master.m3u8"].decode(), file="master.m3u8"):
        assert variant.audio_playlist == "aac-128k.m3u8"
        for file in (variant.playlist, variant.audio_playlist):
            playlist = read_media(film.files[file].decode(), file=file)
            assert playlist.init is not None
            for where in (playlist.init, *(segment.bytes for segment in playlist.segments)):
                assert where.size_bytes is not None
                expected = integrity.of_range(where.file, where.offset, where.size_bytes)
                end = where.offset + where.size_bytes
                assert expected.is_met_by(film.files[where.file][where.offset : end])


def test_the_ladder_is_read_lowest_first() -> None:
    film = Film(ladder={"high": 3_000_000, "low": 300_000})
    variants = read_master(film.files["master.m3u8"].decode(), file="master.m3u8")
    assert [variant.playlist for variant in variants] == ["low.m3u8", "high.m3u8"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("<html>", "no #EXTM3U"),
        ("#EXTM3U\n", "no segments"),
        (MEDIA.replace("#EXT-X-ENDLIST\n", ""), "EXT-X-ENDLIST"),
        (MEDIA.replace("v.mp4\n#EXTINF:2.5", "http://elsewhere/v.mp4\n#EXTINF:2.5"), "not a file"),
        (MEDIA.replace("v.mp4\n#EXTINF:2.5", "../v.mp4\n#EXTINF:2.5"), "not a file"),
        (MEDIA.replace("10@100", "0@100"), "is empty"),
        (MEDIA.replace("#EXTINF:2.5", "#EXTINF:-2.5"), "-2.5 s"),
    ],
)
def test_a_playlist_that_cannot_be_played_is_refused_with_its_name(text: str, words: str) -> None:
    with pytest.raises(ManifestUnusable, match=words) as refused:
        read_media(text, file="v.m3u8")
    assert "v.m3u8" in str(refused.value)


@given(st.text('#EXTINFM3U-:=,@.09av\n "BYTERANGEPLISTKURD', max_size=300))
def test_no_text_makes_the_reader_fail_otherwise(text: str) -> None:
    for body in (text, "#EXTM3U\n" + text, MEDIA[:60] + text + MEDIA[60:]):
        for read in (read_media, read_master):
            with contextlib.suppress(ManifestUnusable):
                read(body, file="v.m3u8")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b'{"format": 2}',
        b'{"format": 1, "title": "t", "version": "v", "objects": []}',
        b'{"format": 1, "title": "t", "version": "v", "objects": {"a": {"size_bytes": -1}}}',
        (
            b'{"format": 1, "title": "t", "version": "v", "objects": '
            b'{"a": {"size_bytes": 1, "sha256": "xyz", "ranges": []}}}'
        ),
    ],
)
def test_an_integrity_file_that_says_nothing_is_refused(body: bytes) -> None:
    with pytest.raises(ManifestUnusable, match=r"integrity\.json"):
        Integrity.parse(body)


def test_what_was_not_published_has_no_digest_to_pass() -> None:
    integrity = Integrity.parse(Film().files["integrity.json"])
    with pytest.raises(ManifestUnusable, match=r"does not name other\.mp4"):
        integrity.of_file("other.mp4")
    with pytest.raises(ManifestUnusable, match=r"bytes 1-"):
        integrity.of_range("h264-360p.mp4", 1, INIT_BYTES)


@given(st.binary(max_size=64), st.binary(max_size=64))
def test_only_the_published_bytes_meet_their_digest(published: bytes, other: bytes) -> None:
    table = {
        "format": 1,
        "title": "t",
        "version": "v",
        "objects": {
            "a": {
                "size_bytes": len(published),
                "sha256": hashlib.sha256(published).hexdigest(),
                "ranges": [],
            }
        },
    }
    expected = Integrity.parse(json.dumps(table).encode()).of_file("a")
    assert expected.is_met_by(published)
    assert expected.is_met_by(other) == (other == published)
