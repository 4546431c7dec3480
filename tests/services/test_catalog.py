"""The catalog, read from what the control plane says."""

import pytest
from services import maps

from sluice.content.v1 import content_pb2
from sluice_services.catalog.titles import State, TitleUnusable, read_catalog, read_title


def test_one_broken_record_hides_no_other_title() -> None:
    broken = maps.title("broken")
    broken.ClearField("objects")
    message = content_pb2.WatchTitlesResponse(
        revision=4, titles=[maps.title("b"), broken, maps.title("a")]
    )

    catalog = read_catalog(message)

    assert list(catalog.titles) == ["titles/a", "titles/b"]
    assert [name for name, _ in catalog.left_out] == ["titles/broken"]
    assert catalog.page("titles/a", 5) == ((catalog.titles["titles/b"],), False)
    assert catalog.page("", 1) == ((catalog.titles["titles/a"],), True)


@pytest.mark.parametrize("key", ["", "/x", "a/../b", "a b", "a?b", "a//b", "x" * 600])
def test_a_key_that_a_url_would_twist_makes_a_title_unusable(key: str) -> None:
    record = maps.title()
    record.dash_key = key

    with pytest.raises(TitleUnusable, match="dash_key"):
        read_title(record)


def test_a_title_whose_state_was_not_said_is_not_live() -> None:
    record = maps.title()
    record.state = content_pb2.TITLE_STATE_UNSPECIFIED

    assert read_title(record).state is State.FILLING
