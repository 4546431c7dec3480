"""What each part of a box is told, from the configuration of the whole."""

import importlib.metadata
import uuid
from pathlib import Path

from sluice_appliance.agent.agent import AgentSettings
from sluice_appliance.agent.enrolment import EnrolmentRequest
from sluice_appliance.agent.reporter import Standing
from sluice_appliance.config import ApplianceConfig
from sluice_appliance.fill.worker import FillSettings
from sluice_appliance.pull.service import PullSettings, blocks_max
from sluice_appliance.serving.limits import Limits
from sluice_appliance.serving.settings import ServingSettings
from sluice_appliance.serving.telling import Telling
from sluice_appliance.serving.tokens.gate import Demand
from sluice_appliance.store.disks import DiskPlace, DiskState, Tier
from sluice_appliance.store.store import Store

# In the store's folder, as it says what the store should hold.
_MANIFEST_FILE = "manifest.signed"
_SIGNED_KEYS_FILE = "token-keys.signed"
_KEYS_FILE = "token-keys.json"


def standing(config: ApplianceConfig, port: int) -> Standing:
    return Standing(
        appliance=f"appliances/{config.appliance}",
        incarnation=uuid.uuid4().hex,
        ipv4=config.serving_ipv4,
        ipv6=config.serving_ipv6,
        port=port,
        tls=config.tls_certificate is not None,
        software_version=importlib.metadata.version("sluice"),
        capacity_bytes=config.store_bytes,
    )


def agent_settings(config: ApplianceConfig) -> AgentSettings:
    return AgentSettings(
        enrolment=EnrolmentRequest(
            appliance=f"appliances/{config.appliance}",
            target=config.enrolment,
            token=config.enrolment_token or "",
            certificate_authority=config.certificate_authority,
            identity=config.identity,
        ),
        control_plane=config.control_plane,
        manifest=config.store / _MANIFEST_FILE,
        signed_token_keys=config.store / _SIGNED_KEYS_FILE,
        token_keys=config.store / _KEYS_FILE,
        fill=FillSettings(concurrency=config.fill_concurrency, stall_s=config.fill_stall_s),
    )


def pull_settings(config: ApplianceConfig, store: Store) -> PullSettings:
    disks = [disk for disk in store.disks() if disk.state is DiskState.IN_USE]
    flash = [disk for disk in disks if disk.tier is Tier.SSD]
    return PullSettings(
        memory_bytes=config.pull_memory_bytes,
        # Without flash in use nothing is kept on it.
        flash_bytes=config.pull_flash_bytes if flash else 0,
        stall_s=config.fill_stall_s,
        flash=Path(flash[0].name) if flash else config.store,
    )


def serving_settings(
    config: ApplianceConfig, disks: tuple[DiskPlace, ...], *, pulls: bool
) -> ServingSettings:
    return ServingSettings(
        store=str(config.store.absolute()),
        disks=disks,
        name=config.appliance,
        limits=Limits(client_connections=config.client_connections),
        telling=Telling(
            records=_absolute(config.access_records),
            records_per_s=config.access_records_per_s,
            clients=config.access_records_clients,
            appliance=config.appliance,
        ),
        tls_certificate=_absolute(config.tls_certificate),
        tls_key=_absolute(config.tls_key),
        tokens=Demand(config.tokens),
        token_keys=_absolute(config.store / _KEYS_FILE),
        pulled_blocks=blocks_max(config.pull_memory_bytes) if pulls else 0,
    )


def _absolute(path: Path | None) -> str:
    return "" if path is None else str(path.absolute())
