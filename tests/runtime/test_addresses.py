import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice_runtime.addresses import Address, address_setting, parse_address


@given(
    st.one_of(st.ip_addresses().map(str), st.from_regex(r"[a-z][a-z0-9.-]{0,60}", fullmatch=True)),
    st.integers(0, 65_535),
)
def test_an_address_reads_back_as_it_was_written(host: str, port: int) -> None:
    assert parse_address(str(Address(host, port))) == Address(host, port)


@pytest.mark.parametrize(
    "wrong",
    ["", "8080", ":80", "::1:80", "[h]:80", "h:", "h:-1", "h:65536", "h:8 0", "h:\u0661", "[]:1"],
)
def test_what_is_no_address_is_refused_with_the_settings_name(wrong: str) -> None:
    with pytest.raises(ValueError, match=r"^listen is '.*expected"):
        address_setting("listen", wrong)
