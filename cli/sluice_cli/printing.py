"""How facts are printed: one JSON document for programs, a small table for people."""

import json
from collections.abc import Iterable, Sequence


def print_json(facts: object) -> None:
    print(json.dumps(facts, indent=2, ensure_ascii=False))


def print_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Plain columns with a line of headings, so that `grep` and `awk` work on it."""
    lines = [[column.upper() for column in columns], *(list(row) for row in rows)]
    widths = [max(len(line[index]) for line in lines) for index in range(len(columns))]
    for line in lines:
        print(
            "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        )


def print_facts(facts: Iterable[tuple[str, str]]) -> None:
    """Names on the left, values on the right."""
    pairs = list(facts)
    width = max((len(name) for name, _ in pairs), default=0)
    for name, value in pairs:
        print(f"{name.ljust(width)}  {value}".rstrip())


def megabytes(size_bytes: int) -> str:
    return f"{size_bytes / 1_000_000:.1f} MB"
