"""Configuration: TOML files into frozen dataclasses, with the file and line of every mistake.

A program's configuration is one dataclass whose fields are made by `setting`. Fields may be `str`,
`int`, `float`, `bool`, `Path`, a tuple of one of these, another such dataclass (a TOML table), a
tuple of such dataclasses (an array of tables), or any of them `| None`. A dataclass checks itself in
`__post_init__` by raising `ValueError`; a message that begins with a field's name gets its line.
"""

import dataclasses
import difflib
import math
import re
import tomllib
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")

_HEADER = re.compile(r"^\s*\[\[?\s*(?P<table>[A-Za-z0-9_.\-]+)\s*\]?\]")
_KEY = re.compile(r"^\s*(?P<key>[A-Za-z0-9_\-]+)\s*=")


class ConfigError(Exception):
    """The operator's file is wrong. The message has the file, the line and what is expected."""


def setting(sentence: str, *, default: Any = dataclasses.MISSING, unit: str = "") -> Any:
    """A field of a configuration: `listen_port: int = setting("The data port.", default=8081)`."""
    return dataclasses.field(default=default, metadata={"sentence": sentence, "unit": unit})


def load(path: Path, kind: type[T]) -> T:
    """Reads `path` into a `kind`. Raises ConfigError; relative `Path`s are taken from the file's folder."""
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: byte {error.start} is not UTF-8") from None
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from None
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        line = re.search(r"line (\d+)", str(error))
        number = line.group(1) if line else str(text.count("\n") + 1)
        reason = re.sub(r" \(at .*\)$", "", str(error))
        raise ConfigError(f"{path}:{number}: {reason}") from None
    except (RecursionError, ValueError) as error:
        # tomllib lets through what Python itself will not read: deep nesting, 5,000-digit numbers.
        raise ConfigError(f"{path}: not readable as TOML: {error}") from None
    return typing.cast(T, _Reader(path, text).read(kind, table, prefix="", ordinal=None))


class _Reader:
    def __init__(self, path: Path, text: str) -> None:
        self._path = path
        self._lines = _line_numbers(text)

    def read(
        self, kind: type[Any], table: Mapping[str, object], *, prefix: str, ordinal: int | None
    ) -> Any:
        hints = typing.get_type_hints(kind)
        fields = {field.name: field for field in dataclasses.fields(kind)}
        for key in table:
            if key not in fields:
                close = difflib.get_close_matches(key, fields, n=1)
                hint = f"; did you mean '{close[0]}'?" if close else ""
                raise self._mistake(prefix, key, ordinal, f"unknown key '{prefix}{key}'{hint}")
        values: dict[str, Any] = {}
        for name, field in fields.items():
            if name in table:
                values[name] = self._value(hints[name], table[name], prefix, name, ordinal)
            elif field.default is dataclasses.MISSING and (
                field.default_factory is dataclasses.MISSING
            ):
                raise self._mistake(prefix, "", ordinal, f"'{prefix}{name}' is missing")
        try:
            return kind(**values)
        except ValueError as error:
            about = re.match(r"\w+", str(error))
            raise self._mistake(
                prefix, about.group() if about else "", ordinal, f"{prefix}{error}"
            ) from None

    def _value(self, kind: Any, value: object, prefix: str, name: str, ordinal: int | None) -> Any:
        if isinstance(kind, types.UnionType):
            kind = next(part for part in typing.get_args(kind) if part is not types.NoneType)
        if dataclasses.is_dataclass(kind) and isinstance(value, dict):
            return self.read(
                typing.cast(type, kind), value, prefix=f"{prefix}{name}.", ordinal=None
            )
        if typing.get_origin(kind) is tuple and isinstance(value, list):
            inner = typing.get_args(kind)[0]
            if dataclasses.is_dataclass(inner):
                return tuple(
                    self.read(typing.cast(type, inner), item, prefix=f"{prefix}{name}.", ordinal=i)
                    for i, item in enumerate(self._tables(value, prefix, name, ordinal))
                )
            return tuple(self._value(inner, item, prefix, name, ordinal) for item in value)
        if kind is Path and isinstance(value, str):
            return self._path.parent / value
        if kind is float and isinstance(value, int) and not isinstance(value, bool):
            return float(value)
        if isinstance(kind, type) and type(value) is kind:
            if isinstance(value, float) and not math.isfinite(value):
                raise self._mistake(
                    prefix, name, ordinal, f"'{prefix}{name}' is {value}, expected a finite number"
                )
            return value
        expected = getattr(kind, "__name__", str(kind))
        raise self._mistake(
            prefix,
            name,
            ordinal,
            f"'{prefix}{name}' is {value!r}, expected a value of type {expected}",
        )

    def _tables(
        self, values: list[object], prefix: str, name: str, ordinal: int | None
    ) -> list[dict[str, object]]:
        tables = [value for value in values if isinstance(value, dict)]
        if len(tables) != len(values):
            raise self._mistake(
                prefix, name, ordinal, f"'{prefix}{name}' is {values!r}, expected tables"
            )
        return tables

    def _mistake(self, prefix: str, key: str, ordinal: int | None, message: str) -> ConfigError:
        table = prefix.rstrip(".")
        # The key's own line, or that of the table it names, or that of the table it should be in.
        places = ((table, ordinal or 0, key), (f"{prefix}{key}", 0, ""), (table, ordinal or 0, ""))
        line = next((self._lines[place] for place in places if place in self._lines), None)
        where = f"{self._path}:{line}" if line else str(self._path)
        return ConfigError(f"{where}: {message}")


def _line_numbers(text: str) -> dict[tuple[str, int, str], int]:
    """Line of each (table, how many tables of that name came before, key), as far as text shows it."""
    found: dict[tuple[str, int, str], int] = {("", 0, ""): 1}
    seen: dict[str, int] = {}
    table, ordinal = "", 0
    for number, line in enumerate(text.splitlines(), start=1):
        if header := _HEADER.match(line):
            table = header.group("table")
            ordinal = seen.get(table, 0)
            seen[table] = ordinal + 1
            found.setdefault((table, ordinal, ""), number)
        elif key := _KEY.match(line):
            found.setdefault((table, ordinal, key.group("key")), number)
    return found
