"""The OpenAPI 3.1 document, drawn from the operations and the structs that the API is made of."""

from importlib.metadata import version
from typing import Any

import msgspec

from sluice_services.gateway import api
from sluice_services.gateway.problems import PROBLEM_TYPE
from sluice_services.gateway.routes import OPERATIONS, Operation

_REFERENCE = "#/components/schemas/{name}"


def openapi_document() -> dict[str, Any]:
    structs = {
        kind
        for operation in OPERATIONS
        for kind in (operation.answer, operation.request)
        if isinstance(kind, type)
    } | {api.Problem}
    _, schemas = msgspec.json.schema_components(
        sorted(structs, key=lambda kind: kind.__name__), ref_template=_REFERENCE
    )
    paths: dict[str, dict[str, Any]] = {}
    for operation in OPERATIONS:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _operation(operation)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Sluice playback API",
            "version": version("sluice"),
            "description": "What there is to watch, and from where. Errors are RFC 9457 problems.",
        },
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {"schemas": dict(sorted(schemas.items()))},
    }


def _operation(operation: Operation) -> dict[str, Any]:
    described: dict[str, Any] = {
        "operationId": operation.operation_id,
        "summary": operation.summary,
        "responses": {
            "200": {"description": operation.summary, "content": _content(operation.answer)},
            **{
                str(status): {"description": when, "content": _problem_content(operation)}
                for status, when in operation.problems
            },
        },
    }
    if operation.parameters:
        described["parameters"] = [
            {
                "name": parameter.name,
                "in": parameter.where,
                "required": parameter.where == "path",
                "description": parameter.sentence,
                "schema": parameter.schema,
            }
            for parameter in operation.parameters
        ]
    if operation.request is not None:
        described["requestBody"] = {"required": True, "content": _content(operation.request)}
    return described


def _problem_content(operation: Operation) -> dict[str, Any]:
    if isinstance(operation.answer, str):
        return _content(operation.answer)
    return {PROBLEM_TYPE: {"schema": {"$ref": _REFERENCE.format(name=api.Problem.__name__)}}}


def _content(answer: type | str) -> dict[str, Any]:
    if isinstance(answer, str):
        return {answer: {"schema": {"type": "object" if answer.endswith("json") else "string"}}}
    return {"application/json": {"schema": {"$ref": _REFERENCE.format(name=answer.__name__)}}}
