"""The OpenAPI document: one path a pipeline, its rows as its model takes them, with an example that is answered."""

from __future__ import annotations

from importlib.metadata import version as installed
from typing import TYPE_CHECKING, Any

from perennial.serving.loaded import ServedVersions
from perennial.serving.schemas import example, label, problem, response, row

if TYPE_CHECKING:
    from perennial.serving.service import Service

_JSON = "application/json"
_FORMS = "The forms of MLflow's scoring protocol: dataframe_split, dataframe_records, instances, inputs; or csv."
_REFUSALS = {
    "400": "The body is no JSON or csv as described, or rows do not keep the contract: which column, row, and why.",
    "401": "The service asks for a token.",
    "404": "No such pipeline is served here.",
    "408": "The body did not come in time.",
    "413": "Too many bytes.",
    "415": "Neither JSON nor csv.",
    "429": "Too many rows wait for the model.",
    "500": "The model failed on the request.",
    "503": "No model yet, or too many requests in work, or the service is shutting down.",
}


def document(service: Service) -> dict[str, Any]:
    """The document of what is served now."""
    paths: dict[str, Any] = {}
    schemas: dict[str, Any] = {"Problem": problem(), "Answer": response()}
    for name, slot in service.slots.items():
        if slot.versions is not None:
            schemas[f"{name}_row"] = row(slot.versions)
            paths[f"/pipelines/{name}/invocations"] = {"post": _invocations(slot.versions)}
            paths[f"/pipelines/{name}"] = {
                "get": _status_operation(f"Which versions of {name} serve.", "application/json", token=True)
            }
            if slot.config.labels is not None:
                schemas[f"{name}_label"] = label(slot.versions)
                paths[f"/pipelines/{name}/feedback"] = {"post": _feedback(slot.versions)}
    only = next(iter(service.slots.values())).versions if len(service.slots) == 1 else None
    if service.serve.default is not None:
        only = service.slots[service.serve.default].versions if service.serve.default in service.slots else None
    if only is not None:
        paths["/invocations"] = {"post": {**_invocations(only), "operationId": "invocations"}}
    paths["/pipelines"] = {"get": _status_operation("Which versions serve.", _JSON, token=True)}
    paths["/ping"] = {"get": _status_operation("Whether a model is there to answer.", "text/plain", unready=True)}
    paths["/health"] = {"get": _status_operation("Whether the process is well.", "application/json", unready=True)}
    paths["/version"] = {"get": _status_operation("The MLflow version whose scoring protocol is spoken.", "text/plain")}
    paths["/metrics"] = {"get": _status_operation("Metrics, for Prometheus.", "text/plain", token=True)}
    found: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {"title": "Perennial", "version": installed("perennial"), "description": "Predictions of champions."},
        "paths": paths,
        "components": {"schemas": schemas},
    }
    if service.serve.token is not None:
        found["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
        found["security"] = [{"token": []}]
    return found


def _invocations(live: ServedVersions) -> dict[str, Any]:
    name = live.config.name
    rows = {
        "type": "array",
        "items": {"$ref": f"#/components/schemas/{name}_row"},
        "maxItems": live.config.serving.max_rows,
    }
    row_example = example(live)
    split = {"columns": list(row_example), "data": [list(row_example.values())]}
    forms = [
        {"type": "object", "properties": {form: rows}, "required": [form], "additionalProperties": False}
        for form in ("dataframe_records", "instances")
    ]
    return {
        "summary": f"{live.config.description}",
        "description": _FORMS,
        "operationId": f"{name}_invocations",
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {
                    "schema": {"anyOf": forms},
                    "examples": {
                        "dataframe_records": {"value": {"dataframe_records": [row_example]}},
                        "dataframe_split": {"value": {"dataframe_split": split}},
                        "inputs": {"value": {"inputs": {column: [one] for column, one in row_example.items()}}},
                    },
                },
                "text/csv": {"schema": {"type": "string"}, "example": _csv(row_example)},
            },
        },
        "responses": {
            "200": {
                "description": "The predictions, and the version that gave them.",
                "headers": {"X-Perennial-Version": {"schema": {"type": "string"}, "description": "The version."}},
                "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Answer"}}},
            },
            **_refusals("400", "401", "408", "413", "415", "429", "500", "503"),
        },
    }


def _rows(schema: str, most: int) -> dict[str, Any]:
    return {"type": "array", "items": {"$ref": f"#/components/schemas/{schema}"}, "maxItems": most}


def _csv(row_example: dict[str, Any]) -> str:
    cells = [
        "" if one is None else str(one).lower() if isinstance(one, bool) else str(one) for one in row_example.values()
    ]
    return f"{','.join(row_example)}\n{','.join(cells)}\n"


def _feedback(live: ServedVersions) -> dict[str, Any]:
    name = live.config.name
    rows = {
        "type": "array",
        "items": {"$ref": f"#/components/schemas/{name}_label"},
        "maxItems": live.config.serving.max_rows,
    }
    return {
        "summary": f"True values of {live.config.contract.target}, by key, once they are known.",
        "operationId": f"{name}_feedback",
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {
                    "schema": {
                        "type": "object",
                        "properties": {"labels": rows},
                        "required": ["labels"],
                        "additionalProperties": False,
                    }
                }
            },
        },
        "responses": {
            "202": {
                "description": "Kept; they come in with the next labels that land.",
                "content": {"application/json": {"schema": {"type": "object"}}},
            },
            **_refusals("400", "401", "408", "413", "415", "503"),
        },
    }


def _status_operation(summary: str, kind: str, *, token: bool = False, unready: bool = False) -> dict[str, Any]:
    found: dict[str, Any] = {
        "summary": summary,
        "responses": {"200": {"description": "As it is now.", "content": {kind: {"schema": {}}}}},
    }
    if token:
        found["responses"].update(_refusals("401", "503"))
    else:
        found["security"] = []
    if unready:
        found["responses"]["503"] = {"description": "Not now.", "content": {kind: {"schema": {}}}}
    return found


def _refusals(*codes: str) -> dict[str, Any]:
    content = {"application/json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {code: {"description": _REFUSALS[code], "content": content} for code in codes}
