"""One object of a title is found by its key."""

from control_plane.rig import title_of

from sluice_control_plane.content.object_index import ObjectIndex, version_in


def test_an_object_is_found_where_it_stands_and_no_other() -> None:
    title = title_of("film")
    title.name = "titles/film"
    index = ObjectIndex()
    for position, item in enumerate(title.objects):
        assert index.position(title, item.key) == position
    assert index.position(title, "film/v1/other") is None


def test_a_title_that_was_read_again_is_looked_at_again() -> None:
    index, before, after = ObjectIndex(), title_of("film"), title_of("film")
    before.name = after.name = "titles/film"
    assert index.position(before, "film/v1/new") is None
    after.objects[1].key = "film/v1/new"
    assert index.position(after, "film/v1/new") == 1


def test_the_index_forgets_the_title_that_was_asked_for_longest_ago() -> None:
    index = ObjectIndex(titles_max=2)
    titles = [title_of(f"film-{n}") for n in range(3)]
    for number, title in enumerate(titles):
        title.name = f"titles/film-{number}"
    for title in (titles[0], titles[1], titles[0], titles[2]):
        assert index.position(title, title.objects[0].key) == 0
    assert list(index._known) == ["film-0/v1", "film-2/v1"]


def test_a_version_is_read_from_a_key_of_three_parts_or_more() -> None:
    assert [version_in(key) for key in ("a/b/c", "a/b/c/d", "a/b", "a", "")] == [
        "a/b",
        "a/b",
        "",
        "",
        "",
    ]
