"""The rows of partners, sites, appliances, their tokens and their reports."""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from sluice.fleet.v1 import fleet_pb2
from sluice_control_plane.errors import NotFound, TooMany
from sluice_control_plane.fleet.appliances import Address, Appliance, FillReport, etag_of
from sluice_control_plane.fleet.disks import Disk
from sluice_control_plane.fleet.health import Health
from sluice_control_plane.fleet.monitor import Belief, FleetMonitor
from sluice_control_plane.identity.tokens import EnrolmentToken
from sluice_control_plane.paging import Page
from sluice_control_plane.schema import (
    appliances,
    disks,
    enrolment_tokens,
    fill_reports,
    partners,
    sites,
)
from sluice_control_plane.steering.compiler import APPLIANCES_MAX

US = 1_000_000

_APPLIANCES = (
    sa.select(
        appliances,
        sites.c.partner_id,
        *(column for column in fill_reports.c if column.name != "appliance_id"),
    )
    .join(sites, sites.c.site_id == appliances.c.site_id)
    .outerjoin(fill_reports, fill_reports.c.appliance_id == appliances.c.appliance_id)
    .order_by(appliances.c.appliance_id)
)


async def read_partner(connection: AsyncConnection, partner_id: str) -> fleet_pb2.Partner:
    rows = await connection.execute(sa.select(partners).where(partners.c.partner_id == partner_id))
    row = rows.one_or_none()
    if row is None:
        raise NotFound(f"partners/{partner_id} is not there")
    return _partner(row)


async def read_partners(
    connection: AsyncConnection, page: Page, *, only: str | None
) -> Sequence[fleet_pb2.Partner]:
    query = sa.select(partners).order_by(partners.c.partner_id).limit(page.rows_to_read())
    if page.after:
        query = query.where(partners.c.partner_id > page.after[0])
    if only is not None:
        query = query.where(partners.c.partner_id == only)
    return [_partner(row) for row in await connection.execute(query)]


async def read_site(connection: AsyncConnection, site_id: str) -> fleet_pb2.Site:
    rows = await connection.execute(sa.select(sites).where(sites.c.site_id == site_id))
    row = rows.one_or_none()
    if row is None:
        raise NotFound(f"sites/{site_id} is not there")
    return _site(row)


async def read_sites(
    connection: AsyncConnection, page: Page, *, only: str | None
) -> Sequence[fleet_pb2.Site]:
    query = sa.select(sites).order_by(sites.c.site_id).limit(page.rows_to_read())
    if page.after:
        query = query.where(sites.c.site_id > page.after[0])
    if only is not None:
        query = query.where(sites.c.partner_id == only)
    return [_site(row) for row in await connection.execute(query)]


async def read_appliance(connection: AsyncConnection, appliance_id: str) -> Appliance:
    rows = await connection.execute(_APPLIANCES.where(appliances.c.appliance_id == appliance_id))
    row = rows.one_or_none()
    if row is None:
        raise NotFound(f"appliances/{appliance_id} is not there")
    return _appliance(row)


async def read_appliances(
    connection: AsyncConnection, page: Page, *, only: str | None, site_id: str | None
) -> Sequence[Appliance]:
    query = _APPLIANCES.limit(page.rows_to_read())
    if page.after:
        query = query.where(appliances.c.appliance_id > page.after[0])
    if only is not None:
        query = query.where(sites.c.partner_id == only)
    if site_id is not None:
        query = query.where(appliances.c.site_id == site_id)
    return [_appliance(row) for row in await connection.execute(query)]


async def read_fleet(connection: AsyncConnection) -> Sequence[Appliance]:
    """All appliances, in order of id."""
    return [_appliance(row) for row in await connection.execute(_APPLIANCES)]


async def add_partner(
    connection: AsyncConnection, partner_id: str, display_name: str, *, now: float
) -> None:
    await connection.execute(
        partners.insert().values(
            partner_id=partner_id, display_name=display_name, create_time_us=int(now * US)
        )
    )


async def add_site(
    connection: AsyncConnection, site_id: str, partner_id: str, display_name: str, *, now: float
) -> None:
    await connection.execute(
        sites.insert().values(
            site_id=site_id,
            partner_id=partner_id,
            display_name=display_name,
            create_time_us=int(now * US),
        )
    )


async def add_appliance(
    connection: AsyncConnection, appliance_id: str, site_id: str, weight: int, *, now: float
) -> None:
    await connection.execute(
        appliances.insert().values(
            appliance_id=appliance_id,
            site_id=site_id,
            weight=weight,
            drained=False,
            generation=1,
            create_time_us=int(now * US),
            enrol_time_us=None,
            health=Health.NEVER_SEEN.value,
            incarnation="",
            ipv4="",
            ipv6="",
            port=0,
            tls=False,
            software_version="",
            last_heartbeat_time_us=None,
        )
    )


async def set_drained(connection: AsyncConnection, before: Appliance, *, drained: bool) -> None:
    await connection.execute(
        appliances.update()
        .where(appliances.c.appliance_id == before.appliance_id)
        .values(drained=drained, generation=before.generation + 1)
    )


async def set_enrolled(connection: AsyncConnection, appliance_id: str, *, now: float) -> None:
    await connection.execute(
        appliances.update()
        .where(appliances.c.appliance_id == appliance_id)
        .values(enrol_time_us=int(now * US))
    )


async def replace_token(connection: AsyncConnection, digest: str, token: EnrolmentToken) -> None:
    """Keeps a new token; an earlier one of the same appliance ends."""
    await connection.execute(
        enrolment_tokens.delete().where(enrolment_tokens.c.appliance_id == token.appliance_id)
    )
    await connection.execute(
        enrolment_tokens.insert().values(
            digest=digest,
            appliance_id=token.appliance_id,
            expire_time_us=int(token.expire_time * US),
            used_by=token.used_by,
        )
    )


async def read_token(connection: AsyncConnection, digest: str) -> EnrolmentToken | None:
    rows = await connection.execute(
        sa.select(enrolment_tokens).where(enrolment_tokens.c.digest == digest)
    )
    row = rows.one_or_none()
    if row is None:
        return None
    return EnrolmentToken(row.appliance_id, row.expire_time_us / US, row.used_by)


async def use_token(connection: AsyncConnection, digest: str, used_by: str) -> None:
    await connection.execute(
        enrolment_tokens.update().where(enrolment_tokens.c.digest == digest).values(used_by=used_by)
    )


async def keep_report(connection: AsyncConnection, appliance_id: str, report: FillReport) -> None:
    values: dict[str, Any] = {
        "manifest_revision": report.manifest_revision,
        "held_objects": report.held_objects,
        "wanted_objects": report.wanted_objects,
        "held_bytes": report.held_bytes,
        "wanted_bytes": report.wanted_bytes,
        "complete_titles": sorted(report.complete_titles),
    }
    await connection.execute(
        fill_reports.delete().where(fill_reports.c.appliance_id == appliance_id)
    )
    await connection.execute(fill_reports.insert().values(appliance_id=appliance_id, **values))


async def keep_belief(connection: AsyncConnection, appliance_id: str, belief: Belief) -> None:
    heard = belief.heard_time
    await connection.execute(
        appliances.update()
        .where(appliances.c.appliance_id == appliance_id)
        .values(
            health=belief.machine.health.value,
            incarnation=belief.machine.incarnation,
            ipv4=belief.address.ipv4,
            ipv6=belief.address.ipv6,
            port=belief.address.port,
            tls=belief.address.tls,
            software_version=belief.software_version,
            last_heartbeat_time_us=None if heard is None else int(heard * US),
        )
    )


async def keep_disks(connection: AsyncConnection, appliance_id: str, found: Sequence[Disk]) -> None:
    """Replaces what was kept of an appliance's disks."""
    await connection.execute(disks.delete().where(disks.c.appliance_id == appliance_id))
    rows = [
        {
            "appliance_id": appliance_id,
            "disk_name": disk.name,
            "tier": disk.tier,
            "state": disk.state,
            "reason": disk.reason,
            "capacity_bytes": disk.capacity_bytes,
        }
        for disk in found
    ]
    if rows:
        await connection.execute(disks.insert(), rows)


async def restore_beliefs(connection: AsyncConnection, monitor: FleetMonitor) -> None:
    """Hands the monitor what an earlier run believed."""
    found: dict[str, list[Disk]] = {}
    for row in await connection.execute(sa.select(disks).order_by(disks.c.disk_name)):
        disk = Disk(row.disk_name, row.tier, row.state, row.reason, row.capacity_bytes, 0)
        found.setdefault(row.appliance_id, []).append(disk)
    for row in await connection.execute(sa.select(appliances)):
        belief = monitor.new_belief()
        belief.address = Address(row.ipv4, row.ipv6, row.port, row.tls)
        belief.software_version = row.software_version
        heard = row.last_heartbeat_time_us
        belief.heard_time = None if heard is None else heard / US
        belief.drained = row.drained
        belief.disks = tuple(found.get(row.appliance_id, ()))
        monitor.restore(row.appliance_id, Health(row.health), row.incarnation, belief)


def _partner(row: Any) -> fleet_pb2.Partner:
    message = fleet_pb2.Partner(
        name=f"partners/{row.partner_id}",
        display_name=row.display_name,
        etag=etag_of(row.partner_id, row.create_time_us),
    )
    message.create_time.FromMicroseconds(row.create_time_us)
    return message


def _site(row: Any) -> fleet_pb2.Site:
    message = fleet_pb2.Site(
        name=f"sites/{row.site_id}",
        partner=f"partners/{row.partner_id}",
        display_name=row.display_name,
        etag=etag_of(row.site_id, row.create_time_us),
    )
    message.create_time.FromMicroseconds(row.create_time_us)
    return message


def _appliance(row: Any) -> Appliance:
    report = FillReport()
    if row.complete_titles is not None:
        report = FillReport(
            row.manifest_revision,
            row.held_objects,
            row.wanted_objects,
            row.held_bytes,
            row.wanted_bytes,
            frozenset(row.complete_titles),
        )
    return Appliance(
        appliance_id=row.appliance_id,
        site_id=row.site_id,
        partner_id=row.partner_id,
        weight=row.weight,
        drained=row.drained,
        generation=row.generation,
        create_time=row.create_time_us / US,
        enrol_time=None if row.enrol_time_us is None else row.enrol_time_us / US,
        report=report,
    )


async def check_room(connection: AsyncConnection) -> None:
    """Raises TooMany where no more appliances fit into a map."""
    count = await connection.scalar(sa.select(sa.func.count()).select_from(appliances)) or 0
    if count >= APPLIANCES_MAX:
        raise TooMany(f"{count} appliances already, at most {APPLIANCES_MAX} fit into a map")
