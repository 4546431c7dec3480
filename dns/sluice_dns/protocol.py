"""The numbers of the protocol that we use, each with the document that assigns it."""

from enum import IntEnum

HEADER_BYTES = 12
# RFC 9715: what passes every path without fragments; what we offer and never exceed over UDP.
UDP_PAYLOAD_BYTES = 1232
# RFC 1035 4.2.1: what a client without EDNS can take.
PLAIN_PAYLOAD_BYTES = 512
STREAM_PAYLOAD_BYTES = 65535
NAME_BYTES_MAX = 255
LABEL_BYTES_MAX = 63


class Rcode(IntEnum):
    NOERROR = 0
    FORMERR = 1
    SERVFAIL = 2
    NXDOMAIN = 3
    NOTIMP = 4
    REFUSED = 5
    BADVERS = 16


class Type(IntEnum):
    A = 1
    NS = 2
    SOA = 6
    HINFO = 13
    TXT = 16
    AAAA = 28
    OPT = 41
    IXFR = 251
    AXFR = 252
    ANY = 255


class Class(IntEnum):
    IN = 1
    CH = 3


class Option(IntEnum):
    """EDNS options (RFC 6891 and the registry)."""

    NSID = 3
    CLIENT_SUBNET = 8
    EXTENDED_ERROR = 15


class ExtendedError(IntEnum):
    """RFC 8914."""

    OTHER = 0
    NOT_READY = 14
    NOT_AUTHORITATIVE = 20
