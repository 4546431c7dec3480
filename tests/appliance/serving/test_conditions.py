"""Preconditions in the order of RFC 9110, 13.2.2, and dates in the forms of 5.6.7."""

from collections.abc import Mapping
from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice_appliance.serving.conditions import Verdict, is_same, read_date, weigh, write_date

ETAG = b'"e"'
# Sun, 06 Nov 1994 08:49:37 GMT, the date of RFC 9110's examples.
MODIFIED = 784111777
THEN = b"Sun, 06 Nov 1994 08:49:37 GMT"
BEFORE = b"Sun, 06 Nov 1994 08:49:36 GMT"
LATER = b"Sun, 06 Nov 1994 08:49:38 GMT"
PROCEED, NOT_MODIFIED, FAILED = Verdict.PROCEED, Verdict.NOT_MODIFIED, Verdict.FAILED


@pytest.mark.parametrize(
    ("fields", "verdict"),
    [
        ({}, PROCEED),
        ({b"if-none-match": ETAG}, NOT_MODIFIED),
        ({b"if-none-match": b"W/" + ETAG}, NOT_MODIFIED),
        ({b"if-none-match": b'"x", ' + ETAG}, NOT_MODIFIED),
        ({b"if-none-match": b"* "}, NOT_MODIFIED),
        ({b"if-none-match": b'"x"'}, PROCEED),
        ({b"if-none-match": b'"a,' + ETAG[1:]}, PROCEED),
        ({b"if-none-match": b""}, PROCEED),
        ({b"if-match": ETAG}, PROCEED),
        ({b"if-match": b'"x",' + ETAG + b" "}, PROCEED),
        ({b"if-match": b"*"}, PROCEED),
        ({b"if-match": b"W/" + ETAG}, FAILED),
        ({b"if-match": b'"x"'}, FAILED),
        ({b"if-match": b""}, FAILED),
        ({b"if-unmodified-since": BEFORE}, FAILED),
        ({b"if-unmodified-since": THEN}, PROCEED),
        ({b"if-unmodified-since": LATER}, PROCEED),
        ({b"if-modified-since": BEFORE}, PROCEED),
        ({b"if-modified-since": THEN}, NOT_MODIFIED),
        ({b"if-modified-since": LATER}, NOT_MODIFIED),
    ],
)
def test_each_condition_means_what_rfc_9110_says(
    fields: Mapping[bytes, bytes], verdict: Verdict
) -> None:
    assert weigh(fields, ETAG, MODIFIED) is verdict


@pytest.mark.parametrize(
    ("fields", "verdict"),
    [
        ({b"if-match": b'"x"', b"if-none-match": ETAG}, FAILED),
        ({b"if-match": ETAG, b"if-none-match": ETAG}, NOT_MODIFIED),
        # "A recipient MUST ignore If-Unmodified-Since if the request contains an If-Match header field".
        ({b"if-match": ETAG, b"if-unmodified-since": BEFORE}, PROCEED),
        ({b"if-unmodified-since": BEFORE, b"if-none-match": ETAG}, FAILED),
        ({b"if-unmodified-since": THEN, b"if-modified-since": THEN}, NOT_MODIFIED),
        # "A recipient MUST ignore If-Modified-Since if the request contains an If-None-Match header field".
        ({b"if-none-match": b'"x"', b"if-modified-since": LATER}, PROCEED),
    ],
)
def test_conditions_are_weighed_in_the_order_of_rfc_9110(
    fields: Mapping[bytes, bytes], verdict: Verdict
) -> None:
    assert weigh(fields, ETAG, MODIFIED) is verdict


def test_dates_are_no_condition_where_they_cannot_be_compared() -> None:
    for name in (b"if-modified-since", b"if-unmodified-since"):
        for date in (BEFORE, LATER):
            assert weigh({name: date}, ETAG, 0) is PROCEED
        for nonsense in (b"", b"yesterday", BEFORE + b", " + BEFORE, b"784111777"):
            assert weigh({name: nonsense}, ETAG, MODIFIED) is PROCEED


def test_only_the_very_same_strong_tag_lets_a_part_be_sent() -> None:
    assert is_same(ETAG, ETAG)
    assert is_same(ETAG + b" ", ETAG)
    for other in (b"W/" + ETAG, b'"x"', THEN, b"", b"*", ETAG + b", " + ETAG):
        assert not is_same(other, ETAG)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"Sun, 06 Nov 1994 08:49:37 GMT", MODIFIED),
        (b"Sunday, 06-Nov-94 08:49:37 GMT", MODIFIED),
        (b"Sun Nov  6 08:49:37 1994", MODIFIED),
        (b"Sun Nov 06 08:49:37 1994", MODIFIED),
        (b"Sun, 06 Nov 1994 08:49:37 GMT ", MODIFIED),
        (b"Thu, 01 Jan 1970 00:00:00 GMT", 0),
        (b"Sat, 31 Dec 2016 23:59:60 GMT", 1483228799),
        (b"Thu, 29 Feb 2024 00:00:00 GMT", 1709164800),
        (b"Wed, 29 Feb 2023 00:00:00 GMT", None),
        (b"Sat, 31 Dec 2016 23:59:61 GMT", None),
        (b"Sat, 31 Dec 2016 24:00:00 GMT", None),
        (b"Sun, 06 Nov 0000 08:49:37 GMT", None),
        (b"Sun, 06 Abc 1994 08:49:37 GMT", None),
        (b"Sun, 06 Nov 1994 08:49:37 UTC", None),
        (b"Sun, 06 Nov 1994 08:49:37 +0000", None),
        (b"sun, 06 nov 1994 08:49:37 gmt", None),
        (b"Sun, 6 Nov 1994 08:49:37 GMT", None),
        (b"06 Nov 1994 08:49:37 GMT", None),
        (b"1994-11-06T08:49:37Z", None),
    ],
)
def test_a_date_is_read_in_all_three_forms_and_in_no_other(
    text: bytes, expected: int | None
) -> None:
    assert read_date(text, near=MODIFIED) == expected


@pytest.mark.parametrize(
    ("near", "digits", "year"),
    [
        (2026, 94, 1994),
        (2026, 26, 2026),
        (2026, 75, 2075),
        (2026, 76, 1976),
        (1970, 26, 1926),
        (1999, 1, 2001),
    ],
)
def test_a_year_of_two_digits_lies_within_fifty_years(near: int, digits: int, year: int) -> None:
    def midsummer(of: int) -> int:
        found = read_date(b"Sun, 01 Jul %d 00:00:00 GMT" % of, near=0)
        assert found is not None
        return found

    text = b"Sunday, 01-Jul-%02d 00:00:00 GMT" % digits
    assert read_date(text, near=midsummer(near)) == midsummer(year)


@given(st.integers(0, 2**33))
def test_a_date_that_we_write_is_the_date_that_is_read(seconds: int) -> None:
    assert write_date(seconds) == formatdate(seconds, usegmt=True).encode()
    assert read_date(write_date(seconds), near=0) == seconds


@given(st.binary(max_size=40))
def test_no_bytes_break_the_reading_of_a_date(text: bytes) -> None:
    assert read_date(text, near=MODIFIED) is None or len(text) >= 24
