"""What players tell of themselves, as CTA-5004 has them write it and as they do."""

import time
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice_appliance.serving.cmcd import (
    CMCD_BYTES_MAX,
    PAIRS_MAX,
    TEXT_CHARS_MAX,
    Cmcd,
    Value,
    decode,
    decode_headers,
    decode_query,
)


def asked(told: str) -> Cmcd:
    """What a player that sends `told` in its query is understood to say."""
    decoded = decode_query(b"/film/v1/a.mp4?CMCD=" + quote(told, safe="").encode())
    assert decoded is not None
    return decoded


def test_every_key_of_version_1_has_its_type() -> None:
    told = (
        'bl=21300,br=3200,bs,cid="faec-5411",d=4004,dl=18500,mtp=48100,nor="..%2F300%2Fs35.m4v",'
        'nrr="12323-48763",ot=v,pr=1.08,rtp=12000,sf=d,sid="6e2fb550",st=v,su,tb=6000,v=1'
    )
    assert asked(told) == Cmcd(
        {
            "bl": 21300,
            "br": 3200,
            "bs": True,
            "cid": "faec-5411",
            "d": 4004,
            "dl": 18500,
            "mtp": 48100,
            "nor": "../300/s35.m4v",
            "nrr": "12323-48763",
            "ot": "v",
            "pr": 1.08,
            "rtp": 12000,
            "sf": "d",
            "sid": "6e2fb550",
            "st": "v",
            "su": True,
            "tb": 6000,
            "v": 1,
        },
        dropped=0,
    )


def test_version_2_tells_numbers_by_type_of_object_and_lists_of_text() -> None:
    told = (
        'br=(5000;v 320;a),bl=(2000),nor=("../a%20b.mp4";r="0-5" "c"),ec=("E1" E2),'
        "v=2,sta=p,ltc=3200,msd=850,sn=17,nr,bg=?0,pb=(4000;v)"
    )
    assert asked(told) == Cmcd(
        {
            "br": {"v": 5000, "a": 320},
            "bl": {"any": 2000},
            "nor": ["../a b.mp4", "c"],
            "ec": ["E1", "E2"],
            "v": 2,
            "sta": "p",
            "ltc": 3200,
            "msd": 850,
            "sn": 17,
            "nr": True,
            "bg": False,
            "pb": {"v": 4000},
        },
        dropped=0,
    )


def test_what_a_vendor_adds_is_kept_as_text() -> None:
    told = 'com.example-myNumeric=500,com.example-myString="a, \\"b\\"",com.example-flag'
    assert asked(told).told == {
        "com.example-myNumeric": "500",
        "com.example-myString": 'a, "b"',
        "com.example-flag": True,
    }


@pytest.mark.parametrize(
    "wrong",
    [
        "br=fast",
        "br=",
        "br",
        "br=(5000;v",
        "br=(a;v)",
        "br=()",
        "bs=maybe",
        "pr=1.x",
        "sid=(1 2)",
        'sid="a\x01b"',
        'sid="caf\xe9"',
        "unknown=1",
        "=3",
        ";;",
        f"br={10**16}",
        f'sid="{"a" * (TEXT_CHARS_MAX + 1)}"',
    ],
)
def test_a_pair_that_cannot_be_read_costs_that_pair_alone(wrong: str) -> None:
    assert asked(f"d=1,{wrong},dl=2") == Cmcd({"d": 1, "dl": 2}, dropped=1)


def test_an_unclosed_string_does_not_hide_what_comes_before_it() -> None:
    decoded = asked('br=3200,bs,sid="abc')
    assert (decoded.told, decoded.dropped) == ({"br": 3200, "bs": True}, 1)


def test_a_request_without_cmcd_tells_nothing() -> None:
    assert decode_query(b"/film/v1/a.mp4") is None
    assert decode_query(b"/CMCD=br/a.mp4?x=1") is None
    assert decode(b"/film/v1/a.mp4", {b"host": b"a"}) is None


def test_cmcd_is_found_beside_other_arguments() -> None:
    decoded = decode(b"/a?CAT=x&CMCD=br%3D1%2Cbs&y=2", {})
    assert decoded == Cmcd({"br": 1, "bs": True}, dropped=0)


def test_the_four_fields_are_read_as_one() -> None:
    fields = {
        b"cmcd-request": b"bl=21300,dl=18500",
        b"cmcd-object": b"br=3200, d=4004, ot=v",
        b"cmcd-session": b'sid="6e2fb550"',
        b"cmcd-status": b"bs",
        b"range": b"bytes=0-1",
    }
    assert decode_headers(fields) == Cmcd(
        {
            "bl": 21300,
            "dl": 18500,
            "br": 3200,
            "d": 4004,
            "ot": "v",
            "sid": "6e2fb550",
            "bs": True,
        },
        dropped=0,
    )


def test_more_than_the_bounds_is_dropped_and_counted() -> None:
    many = asked(",".join(f"com.example-{n}={n}" for n in range(PAIRS_MAX + 10)))
    assert (len(many.told), many.dropped) == (PAIRS_MAX, 1)
    long = asked("d=1," + "x" * CMCD_BYTES_MAX + ",dl=2")
    assert long == Cmcd({"d": 1}, dropped=1)


_LETTERS = st.characters(codec="ascii", categories=["L", "N"])
_TOKEN = st.text(_LETTERS, min_size=1, max_size=20)
_STRING = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=40)


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "br": st.integers(0, 10**15 - 1),
            "bs": st.just(True),
            "cid": _STRING,
            "pr": st.floats(0, 99).map(lambda number: round(number, 3)),
            "tb": st.dictionaries(
                st.sampled_from(["a", "v", "av", "any"]), st.integers(0, 10**6), min_size=1
            ),
        },
    )
)
def test_what_is_written_by_the_rules_is_read_as_it_was_meant(meant: dict[str, Value]) -> None:
    assert asked(",".join(_written(key, value) for key, value in meant.items())) == Cmcd(meant, 0)


def _written(key: str, value: Value) -> str:
    match value:
        case True:
            return key
        case str():
            escaped = value.replace("\\", "\\\\").replace('"', '\\"')
            return f'{key}="{escaped}"'
        case dict():
            items = (f"{n}" if kind == "any" else f"{n};{kind}" for kind, n in value.items())
            return f"{key}=({' '.join(items)})"
        case _:
            return f"{key}={value}"


@given(
    st.lists(st.sampled_from([*list('abr=",;()\\ ?.-%'), "br=", "nor=", "\x00", "é"])).map("".join)
)
def test_no_bytes_raise_or_grow_beyond_the_bounds(told: str) -> None:
    decoded = asked(told)
    assert len(decoded.told) + decoded.dropped <= PAIRS_MAX + 1


@pytest.mark.parametrize(
    "unit", ["a;", '"', "(", '("', "a= ", ";  ", "\\", '"a', ",a=(", 'a=" ', "br=(1;v ", 'a="\x01"']
)
def test_no_hostile_player_takes_more_than_linear_time(unit: str) -> None:
    told = "br=1," + unit * CMCD_BYTES_MAX
    began_s = time.thread_time()
    assert asked(told).dropped >= 1
    # Some 0.5 ms; a pattern that goes back and forth over 4 KiB takes hundreds.
    assert time.thread_time() - began_s < 0.1
