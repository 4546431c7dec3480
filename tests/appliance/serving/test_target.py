"""What a request target names (RFC 9112, 3.2; RFC 3986), and what it must not reach."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice_appliance.object_key import ObjectKey
from sluice_appliance.serving.answers import Response
from sluice_appliance.serving.target import answer_options, host_of, is_host, read_target


@pytest.mark.parametrize(
    "target",
    [
        b"/film/v1/a.mp4",
        b"/film/v1/a.mp4?token=1&x=/../",
        b"/film/v1/%61.mp4",
        b"/film%2Fv1/a.mp4",
        b"http://box.example:8081/film/v1/a.mp4",
        b"HTTPS://box.example/film/v1/a.mp4?q",
        b"http://[2001:db8::1]:80/film/v1/a.mp4",
    ],
)
def test_every_spelling_of_a_target_names_the_same_object(target: bytes) -> None:
    assert read_target(target) == ObjectKey("film/v1/a.mp4")


@pytest.mark.parametrize(
    ("target", "status"),
    [
        (b"*", 400),
        (b"", 404),
        (b"film", 400),
        (b"box.example:443", 400),
        (b"/../etc/passwd", 400),
        (b"/film/%2e%2E/secret", 400),
        (b"/film/.%2e/secret", 400),
        (b"/film/./a", 400),
        (b"/film/a%00.mp4", 400),
        (b"/film/a\0.mp4", 400),
        (b"/film/a%0d%0ab", 400),
        (b"/film/a%7f", 400),
        (b"/film/%zz", 400),
        (b"/film/%", 400),
        (b"/film/%2", 400),
        (b"/film/a b", 400),
        (b"/film/\xc3\xa9", 400),
        (b"/film/a#b", 400),
        (b"/film\\a", 400),
        (b"ftp://h/a", 400),
        (b"http:///a", 400),
        (b"http://user:secret@box/a", 400),
        (b"http://box:port/a", 400),
        (b"/", 404),
        (b"//a", 404),
        (b"/film/", 404),
        (b"/a/b/c/d/e/f/g/h/i", 404),
        (b"/film/~a", 404),
        (b"/film/%2561", 404),
        (b"/film%2F..%2Fa", 400),
        (b"/" + b"a" * 600, 404),
        (b"/%C3%A9", 404),
        (b"http://box.example", 404),
        (b"http://box.example?a", 404),
    ],
)
def test_a_target_that_names_no_object_is_refused(target: bytes, status: int) -> None:
    found = read_target(target)
    assert isinstance(found, Response)
    assert found.status == status
    assert found.close is (status == 400)


@given(st.binary(max_size=60).map(lambda tail: b"/" + tail))
def test_no_target_reaches_outside_the_keys(target: bytes) -> None:
    found = read_target(target)
    if not isinstance(found, Response):
        assert not {"", ".", ".."} & set(found.split("/"))


@pytest.mark.parametrize(
    "host",
    [
        b"a",
        b"a.example:8081",
        b"127.0.0.1",
        b"[::1]",
        b"[::1]:80",
        b"",
        b"a:",
        b"a_b",
        b"a \t",
        b"%41",
    ],
)
def test_a_name_or_address_with_or_without_a_port_is_a_host(host: bytes) -> None:
    assert is_host(host)


@pytest.mark.parametrize(
    "host",
    [
        b"a, b",
        b"a,",
        b", ",
        b"a b",
        b"a/b",
        b"u@a",
        b"a:b",
        b"a:1:2",
        b"\xff",
        b"[",
        b"[a]",
        b"a?",
        b"%4",
    ],
)
def test_what_is_no_host_is_not_taken_for_one(host: bytes) -> None:
    assert not is_host(host)


def test_a_target_in_absolute_form_names_the_host_instead_of_the_field() -> None:
    assert host_of(b"/a", b"field") == b"field"
    assert host_of(b"http://target:80/a", b"field") == b"target:80"
    assert host_of(b"HTTPS://target?x", b"field") == b"target"
    assert host_of(b"*", b"field") == b"field"


@pytest.mark.parametrize(
    ("target", "status"),
    [
        (b"*", 204),
        (b"/film/a", 204),
        (b"/", 204),
        (b"http://a/b", 204),
        (b"*x", 400),
        (b"/%00", 400),
    ],
)
def test_options_are_told_of_the_server_and_of_any_target_that_is_one(
    target: bytes, status: int
) -> None:
    assert answer_options(target).status == status
