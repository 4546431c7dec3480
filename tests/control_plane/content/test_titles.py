"""What may be registered, what is refused and in which words, and when a title goes live."""

import asyncio
import uuid
from collections.abc import Callable
from pathlib import Path

import grpc
import pytest
from control_plane.rig import control_plane, refused, title_of
from hypothesis import given
from hypothesis import strategies as st

from sluice.content.v1 import content_pb2, content_pb2_grpc
from sluice_control_plane.content.liveness import becomes_live
from sluice_control_plane.content.titles import check_title
from sluice_control_plane.errors import InvalidRequest
from sluice_control_plane.identity.roles import Role
from sluice_control_plane.placement.rendezvous import bucket_of

Spoil = Callable[[content_pb2.Title], object]


def _object(title: content_pb2.Title, **changes: object) -> None:
    title.objects[0].MergeFrom(content_pb2.MediaObject(**changes))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda title: title.ClearField("objects"), "0 objects"),
        (lambda title: title.ClearField("version"), "title.version"),
        (lambda title: title.ClearField("hls_key"), "neither hls_key nor dash_key"),
        (lambda title: setattr(title, "hls_key", "film/v1/other"), "none of the title's objects"),
        (lambda title: _object(title, key="film/v2/x"), "expected film/v1/FILE"),
        (lambda title: _object(title, key="film/v1/../x"), "'..'"),
        (lambda title: _object(title, key="film/v1/"), "''"),
        (lambda title: _object(title, key="film/v1/a b"), "'a b'"),
        (lambda title: _object(title, key="film/v1/h264-720p.mp4"), "there twice"),
        (lambda title: _object(title, size_bytes=-1), "size_bytes -1"),
        (lambda title: _object(title, sha256=b"short"), "sha256 of 5 bytes"),
        (
            lambda title: _object(title, block_digests=bytes(15)),
            "block_digests of 15 bytes, expected 16 (16 for each MiB) or none",
        ),
        (
            lambda title: _object(title, size_bytes=(1 << 20) + 1, block_digests=bytes(16)),
            "expected 32",
        ),
        (lambda title: _object(title, content_type="a\r\nb"), "content_type"),
        (lambda title: setattr(title.renditions[0], "key", "x"), "rendition h264-720p"),
        (lambda title: title.renditions.append(title.renditions[0]), "there twice"),
        (lambda title: setattr(title, "attribution", "a\nb"), "attribution"),
        (lambda title: setattr(title.duration, "seconds", -1), "duration"),
    ],
)
def test_a_title_that_could_not_be_served_is_refused_in_words_that_say_what_is_wrong(
    spoil: Spoil, words: str
) -> None:
    title = title_of("film")
    spoil(title)
    with pytest.raises(InvalidRequest) as caught:
        check_title("film", title)
    assert words in str(caught.value)


@given(st.text(max_size=70))
def test_no_text_but_an_id_is_a_title_id(text: str) -> None:
    try:
        check_title(text, title_of(text))
    except InvalidRequest:
        return
    assert text.isascii()
    assert set(text) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")
    assert 1 <= len(text) <= 63


_MEMBERS = st.dictionaries(
    st.sampled_from("ABC"), st.lists(st.integers(0, 8).map(str), max_size=3), max_size=3
)


@given(_MEMBERS, st.sets(st.integers(0, 8).map(str)), st.sets(st.integers(0, 8).map(str)))
def test_a_live_title_can_be_served_by_every_site_that_can_serve_at_all(
    wanted_at: dict[str, list[str]], up: set[str], complete_at: set[str]
) -> None:
    able = [set(members) & up for members in wanted_at.values() if set(members) & up]
    served = [members & complete_at for members in able]
    live = becomes_live(wanted_at, up=up, complete_at=complete_at)
    assert live == (bool(able) and all(served))


def test_a_title_is_kept_as_it_was_given_and_read_back_whole(tmp_path: Path) -> None:
    async def story() -> None:
        async with control_plane(tmp_path) as rig:
            made = await rig.create_title()
            assert made == await rig.title()
            given_title = title_of("film")
            assert list(made.objects) == list(given_title.objects)
            assert list(made.renditions) == list(given_title.renditions)
            assert made.bucket == bucket_of("film")
            assert made.state == content_pb2.TITLE_STATE_FILLING

    asyncio.run(story())


def test_a_title_that_was_deleted_can_be_registered_again_by_the_same_request(
    tmp_path: Path,
) -> None:
    async def story() -> None:
        async with control_plane(tmp_path) as rig:
            request_id = str(uuid.uuid4())
            once = await rig.create_title(request_id=request_id)
            assert await rig.create_title(request_id=request_id) == once
            stub = content_pb2_grpc.ContentServiceStub(rig.channel(Role.PUBLISHER))
            async with refused(grpc.StatusCode.ABORTED, "ETAG_MISMATCH"):
                await stub.DeleteTitle(
                    content_pb2.DeleteTitleRequest(name="titles/film", etag="old")
                )
            await stub.DeleteTitle(
                content_pb2.DeleteTitleRequest(name="titles/film", etag=once.etag)
            )
            async with refused(grpc.StatusCode.NOT_FOUND, "NOT_FOUND"):
                await rig.title()
            assert (await rig.create_title(request_id=request_id)).name == "titles/film"

    asyncio.run(story())


def test_a_list_of_titles_has_their_renditions_and_not_their_objects(tmp_path: Path) -> None:
    async def story() -> None:
        async with control_plane(tmp_path) as rig:
            for title_id in ("c", "a", "b"):
                await rig.create_title(title_id)
            stub = content_pb2_grpc.ContentServiceStub(rig.channel(Role.SERVICE))
            page = await stub.ListTitles(content_pb2.ListTitlesRequest(page_size=2))
            rest = await stub.ListTitles(
                content_pb2.ListTitlesRequest(page_size=2, page_token=page.next_page_token)
            )
            titles = [*page.titles, *rest.titles]
            assert [title.name for title in titles] == ["titles/a", "titles/b", "titles/c"]
            assert all(title.renditions and not title.objects for title in titles)
            async with refused(grpc.StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST"):
                await stub.ListTitles(content_pb2.ListTitlesRequest(page_token="nonsense"))
            async with refused(grpc.StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST"):
                await stub.ListTitles(content_pb2.ListTitlesRequest(page_size=-1))

    asyncio.run(story())
