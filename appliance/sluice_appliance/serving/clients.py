"""Decides which connections one client may open: so many for each network that is one customer.

An IPv4 address is one network. Of IPv6 it is the /56: that much a home is given (RIPE-690, 4.2), and a
home that changes the addresses within it at will (RFC 8981) would otherwise be as many clients as it
likes. Cost: 0.3 us a connection for IPv4, 8 us for IPv6, and as much again when it ends.
"""

from ipaddress import AddressValueError, IPv6Address

_HOME_BITS = 56

# An IPv4 address as it is written, or the number of an IPv6 home.
Network = str | int


class ClientTable:
    """Counts the connections of each client network; it knows no more networks than there are
    connections open, for the last of a network takes its entry along."""

    def __init__(self, connections_max: int) -> None:
        """`connections_max` 0: nobody is refused, and nothing is counted."""
        self._connections_max = connections_max
        self._open: dict[Network, int] = {}

    def __len__(self) -> int:
        """How many networks have connections open."""
        return len(self._open)

    def admit(self, address: str) -> bool:
        """Whether one more connection from `address` is taken; it is then counted until `gone`."""
        if not self._connections_max:
            return True
        network = network_of(address)
        connections = self._open.get(network, 0)
        if connections >= self._connections_max:
            return False
        self._open[network] = connections + 1
        return True

    def gone(self, address: str) -> None:
        """A connection that was admitted has ended."""
        if not self._connections_max:
            return
        network = network_of(address)
        connections = self._open[network] - 1
        if connections:
            self._open[network] = connections
        else:
            del self._open[network]


def network_of(address: str) -> Network:
    """Whose connection it is. What is no address, as the name of a local socket, is one client."""
    if ":" not in address:
        return address
    try:
        parsed = IPv6Address(address)
    except AddressValueError:
        return address
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return int(parsed) >> (128 - _HOME_BITS)
