"""The demand of every site in memory, and how far each appliance was heard, so that none counts twice."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from sluice_control_plane.demand.reports import DemandReport
from sluice_control_plane.demand.smoothing import SiteDemand


@dataclass(frozen=True, slots=True)
class Heard:
    """The last report of an appliance."""

    incarnation: str
    sequence: int


@dataclass(frozen=True, slots=True)
class Counted:
    """What became of a report, in bytes."""

    repeated: bool = False
    title_bytes: int = 0
    rest_bytes: int = 0
    # Of versions that are not in the catalog: of a title that was taken out, or a box that lies.
    unknown_bytes: int = 0
    versions_forgotten: int = 0


@dataclass(frozen=True, slots=True)
class Changes:
    """What is to be kept, in one transaction: counts, and how far they were heard."""

    sites: Mapping[str, SiteDemand]
    heard: Mapping[str, Heard]


class DemandLedger:
    """Sites and appliances are as many as there are in the fleet."""

    def __init__(self) -> None:
        self._sites: dict[str, SiteDemand] = {}
        self._heard: dict[str, Heard] = {}
        self._changed_sites: set[str] = set()
        self._changed_appliances: set[str] = set()

    def restore(self, sites: Mapping[str, SiteDemand], heard: Mapping[str, Heard]) -> None:
        """Takes up what an earlier run kept."""
        self._sites, self._heard = dict(sites), dict(heard)

    def hear(
        self,
        appliance_id: str,
        site_id: str,
        report: DemandReport,
        *,
        known: Collection[str],
        now: float,
    ) -> Counted:
        """Counts a report once. `known` has the versions that are published, `title/version`."""
        last = self._heard.get(appliance_id)
        if (
            last is not None
            and last.incarnation == report.incarnation
            and report.sequence <= last.sequence
        ):
            return Counted(repeated=True)
        ours = {version: sent for version, sent in report.sent_bytes.items() if version in known}
        site = self._sites.setdefault(site_id, SiteDemand(now))
        forgotten = site.add(ours, now)
        self._heard[appliance_id] = Heard(report.incarnation, report.sequence)
        self._changed_sites.add(site_id)
        self._changed_appliances.add(appliance_id)
        title_bytes = sum(ours.values())
        return Counted(
            title_bytes=title_bytes,
            rest_bytes=report.rest_bytes,
            unknown_bytes=sum(report.sent_bytes.values()) - title_bytes,
            versions_forgotten=forgotten,
        )

    def take_changes(self) -> Changes:
        """What changed since the last time, as it is at this moment."""
        sites, self._changed_sites = self._changed_sites, set()
        appliances, self._changed_appliances = self._changed_appliances, set()
        return Changes(
            {each: self._sites[each].copy() for each in sorted(sites)},
            {each: self._heard[each] for each in sorted(appliances)},
        )

    def put_back(self, changes: Changes) -> None:
        """They could not be kept."""
        self._changed_sites.update(changes.sites)
        self._changed_appliances.update(changes.heard)

    def bytes_per_s(self, site_id: str, now: float) -> Mapping[str, float]:
        """The rates of a site. One that was not heard yet is taken for the mean of those that were."""
        if (site := self._sites.get(site_id)) is not None:
            return site.bytes_per_s(now)
        mean: dict[str, float] = {}
        for rates in self._all(now):
            for version, rate in rates.items():
                mean[version] = mean.get(version, 0.0) + rate / len(self._sites)
        return mean

    def _all(self, now: float) -> Iterator[Mapping[str, float]]:
        for site in self._sites.values():
            yield site.bytes_per_s(now)
