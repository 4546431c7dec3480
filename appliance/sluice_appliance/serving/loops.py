"""Whether a request has been here before: `CDN-Loop` (RFC 8586).

Each box names itself, not the whole CDN, in what it asks of others: boxes fill from each other by
design, and only one that is asked by itself goes in a circle.
"""

import re

from sluice_appliance.serving.answers import Response, refuse

# Through how many CDNs a request may come; two or three are known to happen.
HOPS_MAX = 8

# A member of the list: anything but a comma, unless quoted. A quote that is not closed goes to the end,
# so that no field is looked through twice.
_MEMBER = re.compile(rb'(?:[^",]|"(?:[^"\\]|\\.)*\\?(?:"|$))+')


def members(field: bytes) -> tuple[bytes, ...]:
    """The cdn-ids that a CDN-Loop field names, in lower case, their parameters left aside.

    What is malformed in it names nobody and refuses nothing: other CDNs write it, their viewers
    should not pay for a slip of it, and a box that forwards no request cannot close a circle.
    """
    ids = (member.partition(b";")[0].strip(b" \t").lower() for member in _MEMBER.findall(field))
    return tuple(cdn_id for cdn_id in ids if cdn_id)


def visits(field: bytes, cdn_id: bytes) -> int:
    """How often `cdn_id` has handled the request already."""
    return members(field).count(cdn_id.lower())


def refuse_loop(field: bytes, cdn_id: bytes) -> Response | None:
    """508 for a request that comes back to this box, or has gone round elsewhere. It is the status
    that says what to look for: a wrong source, origin or name of a host, not a broken box."""
    found = members(field)
    if cdn_id.lower() in found:
        return refuse(508, "the request has been here before")
    if len(found) > HOPS_MAX:
        return refuse(508, f"the request came through more than {HOPS_MAX} CDNs")
    return None
