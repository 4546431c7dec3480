"""What a record shows of a client and of what it asked for: no token, and no more address than allowed.

Whoever reads a log could replay a token; whoever keeps one answers for the addresses in it.
"""

import re
from enum import Enum
from functools import lru_cache
from ipaddress import IPv6Address, ip_address, ip_network

# To read an address costs as much as the rest of a record, and clients ask again and again.
CLIENTS_REMEMBERED = 4096

# Tokens stand in the query or in a parameter of a path segment; a key of an object has neither. A client
# that escapes the delimiter gets no further with its token, but it stays a token.
_QUERY = re.compile(r"(?:[?#]|%3[Ff]|%23).*", re.DOTALL)
_PARAMETERS = re.compile(r"(?:[;&]|%3[Bb]|%26)[^/]*")


class ClientShown(Enum):
    """How much of a client's address is shown."""

    WHOLE = "whole"
    # A /24 or /48: enough to find the class of clients and its routes, too little for one household.
    NETWORK = "network"
    NOTHING = "nothing"


@lru_cache(CLIENTS_REMEMBERED)
def show_client(address: str, shown: ClientShown) -> str:
    """What is shown of an IPv4 or IPv6 address; "" of what is none."""
    if shown is ClientShown.NOTHING:
        return ""
    try:
        parsed = ip_address(address.partition("%")[0])
    except ValueError:
        # Such as that of a client which left at once.
        return ""
    if isinstance(parsed, IPv6Address) and parsed.ipv4_mapped:
        parsed = parsed.ipv4_mapped
    if shown is ClientShown.WHOLE:
        return str(parsed)
    return str(ip_network((parsed, 24 if parsed.version == 4 else 48), strict=False))


def show_path(target: str) -> str:
    """A request target or relative reference without its query and parameters."""
    return _PARAMETERS.sub("", _QUERY.sub("", target))
