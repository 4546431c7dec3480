"""Writes `protos/generated` from `protos/sluice`. `make protos` runs it; a test sees that it was run.

python protos/generate.py [FOLDER]
"""

import subprocess
import sys
from pathlib import Path

PROTOS = Path(__file__).parent


def generate(into: Path) -> None:
    """Raises CalledProcessError, with protoc's own words on standard error, for a wrong proto."""
    scripts = Path(sys.executable).parent
    command = [
        sys.executable,
        "-m",
        "grpc_tools.protoc",
        f"-I{PROTOS}",
        *(f"--{kind}_out={into}" for kind in ("python", "grpc_python", "mypy", "mypy_grpc")),
        f"--plugin=protoc-gen-mypy={scripts / 'protoc-gen-mypy'}",
        f"--plugin=protoc-gen-mypy_grpc={scripts / 'protoc-gen-mypy_grpc'}",
        *(str(path) for path in sorted(PROTOS.glob("sluice/**/*.proto"))),
    ]
    subprocess.run(command, check=True)


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else PROTOS / "generated"
    target.mkdir(parents=True, exist_ok=True)
    generate(target)
