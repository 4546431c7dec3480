"""Runs to medians, medians to a table: what each server did, what it cost, and how they compare."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from benchmarks.serving.clients.load import Load
from benchmarks.serving.matrix import Cell
from benchmarks.serving.process_tree import CpuTime

OURS = "sluice"
_COLUMNS = (
    f"{'server':13} {'req/s':>9} {'MB/s':>7} {'us/req':>8} {'user s/GB':>9} {'sys s/GB':>9}"
    f" {'p50 ms':>8} {'p99 ms':>8} {'x nginx':>8} {'x best':>7}"
)


@dataclass(frozen=True, slots=True)
class Run:
    """What one run of a client saw, and what the server's processes spent meanwhile."""

    requests_per_s: float
    mb_per_s: float
    cpu_us_per_request: float
    user_s_per_gb: float
    system_s_per_gb: float
    p50_ms: float | None
    p99_ms: float | None
    disk_mb: float
    refused: float


@dataclass(frozen=True, slots=True)
class Line:
    """The medians of one server in one cell; ratios are of requests/s, to nginx and to the best peer."""

    scheme: str
    size: str
    connections: int
    client: str
    server: str
    medians: Run
    to_nginx: float | None
    to_best_peer: float | None
    runs: Sequence[Run]


def one_run(load: Load, size_bytes: int, spent: CpuTime, disk_bytes: int) -> Run:
    gigabytes = load.requests * size_bytes / 1e9
    return Run(
        load.requests_per_s,
        load.requests_per_s * size_bytes / 1e6,
        spent.total_s * 1e6 / load.requests,
        spent.user_s / gigabytes,
        spent.system_s / gigabytes,
        load.p50_ms,
        load.p99_ms,
        disk_bytes / 1e6,
        load.refused,
    )


def lines(cell: Cell, runs: Mapping[str, Sequence[Run]], client: str) -> list[Line]:
    """One for each server, in the order of `runs`; `client` asked."""
    medians = {server: median_run(of_server) for server, of_server in runs.items()}
    rates = {server: run.requests_per_s for server, run in medians.items()}
    best = max((rate for server, rate in rates.items() if server != OURS), default=None)
    nginx = rates.get("nginx")
    return [
        Line(
            cell.scheme,
            cell.size,
            cell.connections,
            client,
            server,
            medians[server],
            rates[server] / nginx if nginx else None,
            rates[server] / best if best else None,
            of_server,
        )
        for server, of_server in runs.items()
    ]


def median_run(runs: Sequence[Run]) -> Run:
    return Run(
        requests_per_s=median(run.requests_per_s for run in runs),
        mb_per_s=median(run.mb_per_s for run in runs),
        cpu_us_per_request=median(run.cpu_us_per_request for run in runs),
        user_s_per_gb=median(run.user_s_per_gb for run in runs),
        system_s_per_gb=median(run.system_s_per_gb for run in runs),
        p50_ms=_median_of_known(run.p50_ms for run in runs),
        p99_ms=_median_of_known(run.p99_ms for run in runs),
        disk_mb=median(run.disk_mb for run in runs),
        refused=median(run.refused for run in runs),
    )


def _median_of_known(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return median(known) if known else None


def table(lines: Sequence[Line]) -> str:
    """A block for each cell, then requests/s of all side by side."""
    text: list[str] = []
    by_cell: dict[tuple[str, str, int], list[Line]] = {}
    for line in lines:
        by_cell.setdefault((line.scheme, line.size, line.connections), []).append(line)
    for (scheme, size, connections), of_cell in by_cell.items():
        client = of_cell[0].client
        text += ["", f"{scheme} {size}, {connections} connection(s) of {client}", _COLUMNS]
        text += [_row(line) for line in of_cell]
    return "\n".join((*text, "", *_summary(by_cell))) + "\n"


def _row(line: Line) -> str:
    run = line.medians
    return (
        f"{line.server:13} {run.requests_per_s:9,.0f} {run.mb_per_s:7,.0f}"
        f" {run.cpu_us_per_request:8,.1f} {run.user_s_per_gb:9.3f} {run.system_s_per_gb:9.3f}"
        f" {_known(run.p50_ms)} {_known(run.p99_ms)} {_known(line.to_nginx)}"
        f" {_known(line.to_best_peer, 7)}"
        f"{f'  {run.disk_mb:,.0f} MB from the disk' if run.disk_mb >= 1 else ''}"
        f"{f', {run.refused:,.0f} refused' if run.refused else ''}"
    )


def _known(value: float | None, width: int = 8) -> str:
    return f"{'-':>{width}}" if value is None else f"{value:{width}.2f}"


def _summary(by_cell: Mapping[tuple[str, str, int], Sequence[Line]]) -> list[str]:
    """Requests/s, a column for each server; ours beside nginx and beside the best of the others."""
    servers = list(dict.fromkeys(line.server for of_cell in by_cell.values() for line in of_cell))
    columns = "".join(f" {server:>13}" for server in servers)
    text = [f"{'requests/s':15}{'connections':>13}{columns} {'x nginx':>8} {'x best':>7}"]
    for (scheme, size, connections), of_cell in by_cell.items():
        rates = {line.server: f"{line.medians.requests_per_s:,.0f}" for line in of_cell}
        ours = next((line for line in of_cell if line.server == OURS), None)
        row = f"{scheme:6}{size:>9}{connections:>13}"
        row += "".join(f" {rates.get(server, '-'):>13}" for server in servers)
        if ours is not None:
            row += f" {_known(ours.to_nginx)} {_known(ours.to_best_peer, 7)}"
        text.append(row)
    return text
