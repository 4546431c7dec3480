from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice_encoder.manifests import ByteRange, byte_ranges, playlist_duration_s, with_stable_ids


def test_every_range_that_a_player_would_ask_for_is_found() -> None:
    playlist = (
        '#EXTM3U\n#EXT-X-MAP:URI="a.mp4",BYTERANGE="878@0"\n'
        "#EXTINF:2.000,\n#EXT-X-BYTERANGE:100@934\na.mp4\n"
        "#EXTINF:1.500,\n#EXT-X-BYTERANGE:50\na.mp4\n#EXT-X-ENDLIST\n"
    )

    assert byte_ranges(playlist) == (
        ByteRange("a.mp4", 0, 878),
        ByteRange("a.mp4", 934, 100),
        ByteRange("a.mp4", 1034, 50),
    )
    assert playlist_duration_s(playlist) == 3.5


@pytest.mark.parametrize(
    "playlist",
    [
        "#EXTINF:2,\na.mp4\n",
        "#EXT-X-BYTERANGE:50\na.mp4\n",
        "#EXT-X-BYTERANGE:50@0\na.mp4\n#EXT-X-BYTERANGE:50\nb.mp4\n",
        "#EXT-X-BYTERANGE:many\na.mp4\n",
    ],
)
def test_a_playlist_whose_ranges_cannot_be_known_is_refused(playlist: str) -> None:
    with pytest.raises(ValueError, match="byte range"):
        byte_ranges(playlist)


@given(st.lists(st.integers(1, 10**9), min_size=1), st.integers(0, 10**9))
def test_ranges_without_an_offset_lie_end_to_end(sizes: list[int], start: int) -> None:
    lines = [f"#EXT-X-BYTERANGE:{sizes[0]}@{start}\na.mp4"]
    lines += [f"#EXT-X-BYTERANGE:{size}\na.mp4" for size in sizes[1:]]

    found = byte_ranges("\n".join(lines))

    assert [part.size for part in found] == sizes
    assert all(a.offset + a.size == b.offset for a, b in pairwise(found))


def test_the_order_in_which_the_packager_got_there_does_not_show() -> None:
    first = '<AdaptationSet id="1" x/><AdaptationSet id="0" y/>'
    second = '<AdaptationSet id="0" x/><AdaptationSet id="1" y/>'

    assert with_stable_ids(first) == with_stable_ids(second) == second
