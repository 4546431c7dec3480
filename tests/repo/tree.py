"""What the house rules look at: the programs, their sources and what git tracks."""

import ast
import subprocess
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
# Folder and package of each program, the runtime kit included.
PACKAGES = {
    "appliance": "sluice_appliance",
    "cli": "sluice_cli",
    "control_plane": "sluice_control_plane",
    "control_services": "sluice_services",
    "dns": "sluice_dns",
    "encoder": "sluice_encoder",
    "runtime": "sluice_runtime",
}


@cache
def tracked() -> tuple[Path, ...]:
    """Every file that is, or is about to be, in the repository. A copy without git has all its files."""
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=False,
    )
    if listing.returncode == 0:
        names = [name for name in listing.stdout.decode().split("\0") if name]
        return tuple(path for path in (ROOT / name for name in names) if path.is_file())
    hidden = {".venv", ".git", "node_modules", "__pycache__", ".hypothesis", "dist", "state"}
    return tuple(
        path
        for path in ROOT.rglob("*")
        if path.is_file() and not hidden & set(path.relative_to(ROOT).parts)
    )


def sources() -> list[Path]:
    """Our own modules, without what protoc wrote."""
    folders = [ROOT / folder / package for folder, package in PACKAGES.items()]
    return [
        path
        for path in tracked()
        if path.suffix == ".py" and any(path.is_relative_to(folder) for folder in folders)
    ]


def modules_of_tests() -> list[Path]:
    return [
        path for path in tracked() if path.match("tests/**/*.py") or path.parent.name == "tests"
    ]


def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def shown(paths: list[Path]) -> list[str]:
    return sorted(str(path.relative_to(ROOT)) for path in paths)
