"""Decides when a title becomes live: enough appliances hold it that no site is without. Pure.

A title that is live stays live: a copy lost later is the steering's business, which names only
appliances that hold what they are named for.
"""

from collections.abc import Collection, Mapping


def becomes_live(
    wanted_at: Mapping[str, Collection[str]],
    *,
    up: Collection[str],
    complete_at: Collection[str],
) -> bool:
    """Whether every site that could serve the title has a whole copy, and one could.

    `wanted_at` has the appliances of each site that are asked to hold it; `up` those that are
    healthy; `complete_at` those that report every object held and verified.
    """
    healthy = [
        [appliance_id for appliance_id in wanted if appliance_id in up]
        for wanted in wanted_at.values()
    ]
    able = [members for members in healthy if members]
    return bool(able) and all(
        any(appliance_id in complete_at for appliance_id in members) for members in able
    )
