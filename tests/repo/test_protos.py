"""Buf's STANDARD rules that we rely on, checked without buf, and a comment on everything."""

import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
)
from repo.tree import ROOT

PROTOS = ROOT / "protos"
GENERATED = PROTOS / "generated"
PASCAL = re.compile(r"([A-Z][a-z0-9]+)+")
LOWER_SNAKE = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
# descriptor.proto: the field numbers that make the path of a place in a file.
MESSAGES, ENUMS, SERVICES = 4, 5, 6
FIELDS, NESTED, NESTED_ENUMS = 2, 3, 4
VALUES = METHODS = 2

Place = tuple[int, ...]


@cache
def files() -> tuple[FileDescriptorProto, ...]:
    paths = [str(path) for path in sorted(PROTOS.glob("sluice/**/*.proto"))]
    protoc = [sys.executable, "-m", "grpc_tools.protoc", f"-I{PROTOS}", "--include_source_info"]
    described = subprocess.run(
        [*protoc, "--descriptor_set_out=/dev/stdout", *paths], check=True, capture_output=True
    )
    return tuple(FileDescriptorSet.FromString(described.stdout).file)


def messages(file: FileDescriptorProto) -> Iterator[tuple[Place, DescriptorProto]]:
    def inside(place: Place, message: DescriptorProto) -> Iterator[tuple[Place, DescriptorProto]]:
        # What protoc makes of a map field is nobody's to comment.
        if not message.options.map_entry:
            yield place, message
        for index, nested in enumerate(message.nested_type):
            yield from inside((*place, NESTED, index), nested)

    for index, message in enumerate(file.message_type):
        yield from inside((MESSAGES, index), message)


def enums(file: FileDescriptorProto) -> Iterator[tuple[Place, EnumDescriptorProto]]:
    for index, enum in enumerate(file.enum_type):
        yield (ENUMS, index), enum
    for place, message in messages(file):
        for index, enum in enumerate(message.enum_type):
            yield (*place, NESTED_ENUMS, index), enum


def named_places(file: FileDescriptorProto) -> Iterator[tuple[Place, str]]:
    """Everything that wants a comment."""
    for place, message in messages(file):
        yield place, message.name
        for index, field in enumerate(message.field):
            yield (*place, FIELDS, index), f"{message.name}.{field.name}"
    for place, enum in enums(file):
        yield place, enum.name
        for index, value in enumerate(enum.value):
            yield (*place, VALUES, index), value.name
    for index, service in enumerate(file.service):
        yield (SERVICES, index), service.name
        for number, method in enumerate(service.method):
            yield (SERVICES, index, METHODS, number), f"{service.name}.{method.name}"


every_file = pytest.mark.parametrize("file", files(), ids=lambda file: file.name)


def test_there_are_contracts_for_every_area() -> None:
    areas = {file.package.split(".")[1] for file in files()}
    assert areas >= {"content", "fill", "fleet", "routes", "steering"}


@every_file
def test_package_and_folder_are_the_same_words_and_end_in_a_version(
    file: FileDescriptorProto,
) -> None:
    folder = str(Path(file.name).parent)
    assert file.syntax == "proto3"
    assert file.package == folder.replace("/", ".")
    assert re.search(r"/v\d+$", folder), f"{folder} does not end in a version such as v1"


@every_file
def test_names_are_written_as_the_style_guide_writes_them(file: FileDescriptorProto) -> None:
    wrong = [m.name for _, m in messages(file) if not PASCAL.fullmatch(m.name)]
    wrong += [e.name for _, e in enums(file) if not PASCAL.fullmatch(e.name)]
    wrong += [
        f"{message.name}.{field.name}"
        for _, message in messages(file)
        for field in message.field
        if not LOWER_SNAKE.fullmatch(field.name)
    ]
    wrong += [s.name for s in file.service if not PASCAL.fullmatch(s.name)]
    assert not wrong, f"messages PascalCase, fields lower_snake_case: {wrong}"


@every_file
def test_every_enum_begins_with_what_the_sender_did_not_say(file: FileDescriptorProto) -> None:
    for _, enum in enums(file):
        prefix = re.sub(r"(?<!^)(?=[A-Z])", "_", enum.name).upper()
        assert enum.value[0].name == f"{prefix}_UNSPECIFIED"
        assert enum.value[0].number == 0
        stray = [value.name for value in enum.value if not value.name.startswith(f"{prefix}_")]
        assert not stray, f"values of {enum.name} begin with {prefix}_: {stray}"


@every_file
def test_every_rpc_has_a_request_and_a_response_of_its_own(file: FileDescriptorProto) -> None:
    for service in file.service:
        assert service.name.endswith("Service")
        for method in service.method:
            assert PASCAL.fullmatch(method.name)
            assert method.input_type == f".{file.package}.{method.name}Request"
            assert method.output_type == f".{file.package}.{method.name}Response"


@every_file
def test_everything_in_a_contract_is_explained_by_a_comment(file: FileDescriptorProto) -> None:
    explained = {
        tuple(location.path)
        for location in file.source_code_info.location
        if location.leading_comments.strip() or location.trailing_comments.strip()
    }
    silent = [name for place, name in named_places(file) if place not in explained]
    assert not silent, f"say what it means, its unit and its bounds: {silent}"


def test_generated_code_is_what_the_protos_say(tmp_path: Path) -> None:
    subprocess.run([sys.executable, PROTOS / "generate.py", tmp_path], check=True)
    made = {path.relative_to(tmp_path): path.read_bytes() for path in tmp_path.rglob("*.py*")}
    kept = {
        path.relative_to(GENERATED): path.read_bytes()
        for path in GENERATED.rglob("*.py*")
        if "__pycache__" not in path.parts
    }
    assert set(made) == set(kept), "run `make protos`"
    stale = sorted(str(name) for name, content in made.items() if kept[name] != content)
    assert not stale, f"run `make protos`: {stale}"
