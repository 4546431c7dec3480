"""Addresses to answer at, and their sockets, bound before anything else is started."""

import ipaddress
import socket
from contextlib import ExitStack
from dataclasses import dataclass

from sluice_runtime.addresses import Address, parse_address

# What waits while a worker loads a map or is started anew.
RECEIVE_BUFFER_BYTES = 4 * 1024 * 1024
STREAM_BACKLOG = 256
# Tries to find a port that is free for both UDP and TCP, when any port will do.
ANY_PORT_TRIES = 16
# <linux/in.h>: IP_PMTUDISC_OMIT, fragment rather than trust a forged path MTU (RFC 9715).
_IP_MTU_DISCOVER, _IPV6_MTU_DISCOVER, _PMTUDISC_OMIT = 10, 23, 5


class AddressUnavailable(Exception):
    """Somebody else is there, or it is not an address of this machine."""


def listen_address(text: str) -> Address:
    """An address that can be bound: its host is an IP address. Raises ValueError."""
    address = parse_address(text)
    try:
        return Address(str(ipaddress.ip_address(address.host)), address.port)
    except ValueError:
        raise ValueError(f"{text!r}, expected HOST:PORT or [V6]:PORT with an IP address") from None


@dataclass(frozen=True, slots=True)
class Listener:
    """One address: a UDP socket for each worker, and a TCP socket."""

    address: Address
    datagrams: tuple[socket.socket, ...]
    stream: socket.socket


def bind(address: Address, *, workers: int, closing: ExitStack) -> Listener:
    """Binds both; port 0 finds one that is free for both. Raises AddressUnavailable."""
    refusal = OSError()
    for _ in range(ANY_PORT_TRIES if address.port == 0 else 1):
        with ExitStack() as undo:
            try:
                listener = _bind(address, workers, undo)
            except OSError as error:
                refusal = error
                continue
            closing.push(undo.pop_all())
            return listener
    raise AddressUnavailable(f"cannot listen on {address}: {refusal.strerror}")


def _bind(address: Address, workers: int, closing: ExitStack) -> Listener:
    # Bound alone, this one tells whether somebody else answers here; SO_REUSEPORT would share.
    probe = closing.enter_context(_socket(address, socket.SOCK_DGRAM))
    probe.bind((address.host, address.port))
    found = Address(address.host, probe.getsockname()[1])
    stream = closing.enter_context(_socket(address, socket.SOCK_STREAM))
    stream.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    stream.bind((found.host, found.port))
    stream.listen(STREAM_BACKLOG)
    stream.setblocking(False)
    probe.close()
    datagrams = tuple(closing.enter_context(_datagrams(found)) for _ in range(workers))
    return Listener(found, datagrams, stream)


def _datagrams(address: Address) -> socket.socket:
    made = _socket(address, socket.SOCK_DGRAM)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
    if _family(address) == socket.AF_INET6:
        made.setsockopt(socket.IPPROTO_IPV6, _IPV6_MTU_DISCOVER, _PMTUDISC_OMIT)
    else:
        made.setsockopt(socket.IPPROTO_IP, _IP_MTU_DISCOVER, _PMTUDISC_OMIT)
    made.bind((address.host, address.port))
    return made


def _socket(address: Address, kind: socket.SocketKind) -> socket.socket:
    made = socket.socket(_family(address), kind)
    if _family(address) == socket.AF_INET6:
        made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    return made


def _family(address: Address) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address.host else socket.AF_INET
