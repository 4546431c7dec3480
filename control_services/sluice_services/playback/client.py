"""Whose playback it is: the caller's own address, unless a caller that we trust names another.

`X-Forwarded-For` and its relatives are never read: anybody can write them, and a proxy that appends
to what it was sent passes the lie on. A proxy of ours says who it speaks for in the body.
"""

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass

from sluice_services.playback.steering_map import IPAddress

IPNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, slots=True)
class Viewer:
    """The address that counts, and whether another was named in vain."""

    address: IPAddress
    ignored: bool


def viewer(caller: IPAddress, named: IPAddress | None, trusted: Sequence[IPNetwork]) -> Viewer:
    caller = _plain(caller)
    if named is None:
        return Viewer(caller, ignored=False)
    if any(caller in network for network in trusted):
        return Viewer(_plain(named), ignored=False)
    return Viewer(caller, ignored=_plain(named) != caller)


def _plain(address: IPAddress) -> IPAddress:
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address
